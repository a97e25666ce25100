package moto

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// NewStack makes a stack with these outputs for t, and returns its name.
func (s *Server) NewStack(t testing.TB, outputs map[string]string) string {
	t.Helper()
	declared := map[string]any{"Unused": map[string]string{"Value": "x"}}
	for key, value := range outputs {
		declared[key] = map[string]string{"Value": value}
	}
	template, err := json.Marshal(map[string]any{"Resources": map[string]any{"Topic": map[string]any{"Type": "AWS::SNS::Topic"}}, "Outputs": declared})
	if err != nil {
		t.Fatal(err)
	}
	client := cloudformation.New(cloudformation.Options{
		Region: Region, BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
	name := "clerksync-" + rand.Text() // a test may run more than once
	if _, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &name, TemplateBody: aws.String(string(template))}); err != nil {
		t.Fatalf("making the stack %s: %v", name, err)
	}
	return name
}
