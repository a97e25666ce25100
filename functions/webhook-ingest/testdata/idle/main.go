// The idle command is the smallest Lambda function in Go: what a cold start
// costs before a function does anything of its own.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() {
	lambda.Start(func() (struct{}, error) { return struct{}{}, nil })
}
