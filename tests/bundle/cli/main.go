// Serves a workspace for tests of the bundle: the server of the CLI's own acceptance tests, with additional rules of a real
// workspace.
//
//	workspace REQUESTS
//
// Prints one line, a JSON object, when it is ready: the URL, the principals, and the id of the only SQL warehouse. Appends each
// request, with the status of its response, to the file REQUESTS as a line of JSON. Ends when its standard input ends.
//
// Each token has its own workspace: dbapi0NAME for the user, dbapi1NAME for the service principal that deploys.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/databricks/cli/libs/testserver"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: workspace REQUESTS")
		os.Exit(2)
	}
	file, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := &journal{file: file}
	reporter := &reporter{log: log}
	server := testserver.New(reporter)
	server.ResponseCallback = func(request *testserver.Request, response *testserver.EncodedResponse) {
		log.append(recorded(request, response))
	}
	// The first handler of a path wins.
	addRules(server)
	testserver.AddDefaultHandlers(server)
	ready, err := json.Marshal(map[string]string{
		"url":               server.URL,
		"user":              testserver.TestUser.UserName,
		"deployer":          testserver.TestUserSP.UserName,
		"service_principal": servicePrincipal,
		"account_group":     accountGroup,
		"warehouse_id":      testserver.TestDefaultWarehouseId,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(ready))
	_, _ = io.Copy(io.Discard, os.Stdin)
	reporter.end()
}

// recorded returns the fields of a request that tests need. For files, which are not JSON, that includes only the size.
func recorded(request *testserver.Request, response *testserver.EncodedResponse) map[string]any {
	line := map[string]any{
		"method": request.Method,
		"path":   request.URL.Path,
		"query":  request.URL.RawQuery,
		"token":  request.Token,
		"status": response.StatusCode,
		"size":   len(request.Body),
	}
	if json.Valid(request.Body) {
		line["body"] = json.RawMessage(request.Body)
	}
	if response.StatusCode >= 400 {
		line["error"] = string(response.Body)
	}
	return line
}

// journal is a file of JSON lines.
type journal struct {
	mutex sync.Mutex
	file  *os.File
}

func (j *journal) append(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		text = []byte(fmt.Sprintf(`{"failure": %q}`, err))
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if _, err := j.file.Write(append(text, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// reporter replaces Go's testing.T: the server reports requests to it that it cannot serve.
type reporter struct {
	log      *journal
	cleanups []func()
}

func (r *reporter) fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	r.log.append(map[string]any{"failure": text})
}

func (r *reporter) end() {
	for _, cleanup := range slices.Backward(r.cleanups) {
		cleanup()
	}
}

func (r *reporter) Log(arguments ...any) { fmt.Fprintln(os.Stderr, arguments...) }
func (r *reporter) Logf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
func (r *reporter) Error(arguments ...any) { r.fail(fmt.Sprint(arguments...)) }
func (r *reporter) Errorf(format string, arguments ...any) {
	r.fail(fmt.Sprintf(format, arguments...))
}
func (r *reporter) Fatal(arguments ...any)                 { r.fail(fmt.Sprint(arguments...)) }
func (r *reporter) Fatalf(format string, arguments ...any) { r.fail(fmt.Sprintf(format, arguments...)) }
func (r *reporter) Skip(arguments ...any)                  { r.fail(fmt.Sprint(arguments...)) }
func (r *reporter) Skipf(format string, arguments ...any)  { r.fail(fmt.Sprintf(format, arguments...)) }
func (r *reporter) FailNow()                               { r.fail("the server has failed") }
func (r *reporter) Cleanup(cleanup func())                 { r.cleanups = append(r.cleanups, cleanup) }
func (r *reporter) Context() context.Context               { return context.Background() }
func (r *reporter) Setenv(key, value string)               { _ = os.Setenv(key, value) }
func (r *reporter) TempDir() string                        { return os.TempDir() }
func (r *reporter) Helper()                                {}
