// Command racy is a function with a race, planted so that a test can show that it is found.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context) (int, error) {
		sum := 0
		done := make(chan struct{})
		go func() {
			sum++
			close(done)
		}()
		sum++
		<-done
		return sum, nil
	})
}
