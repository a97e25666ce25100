// Command deaf asks for an event, as a function does, and then for ever stays, also when what
// it asked has gone.
package main

import (
	"net/http"
	"os"
	"time"
)

func main() {
	response, err := http.Get("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/next")
	if err == nil {
		_ = response.Body.Close()
	}
	for {
		<-time.After(time.Hour)
	}
}
