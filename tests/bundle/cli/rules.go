package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/databricks/cli/libs/testserver"
	"github.com/databricks/databricks-sdk-go/service/apps"
	"github.com/databricks/databricks-sdk-go/service/catalog"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/jobs"
	"github.com/databricks/databricks-sdk-go/service/workspace"
)

const (
	// The service principal that jobs may run as.
	servicePrincipal = "0b9a2f3c-0000-4000-8000-000000000001"
	// A group of the account that is assigned to the workspace.
	accountGroup = "data-platform"
)

// Groups that exist in one workspace only. Workspace objects accept them; Unity Catalog does not.
var workspaceGroups = []string{"users", "admins"}

// Groups of the account. Unity Catalog accepts them; workspace objects accept those that are assigned to the workspace. The
// tests assume that `account users` is not assigned, which is the stricter case.
var accountGroups = []string{"account users", accountGroup}

// me returns the caller. The user is a member of `admins`, like most deployers.
func me(request testserver.Request) any {
	user := request.Workspace.MeUser(request.Token)
	if isUser(user.UserName) {
		user.Groups = []iam.ComplexValue{{Display: "admins"}}
	}
	return testserver.Response{Headers: map[string][]string{"X-Databricks-Org-Id": {"900800700600"}}, Body: user}
}

// addRules makes a server refuse requests that a real workspace refuses and the server accepts:
//
//   - a Unity Catalog grant to a group of the workspace, to an unknown principal, or to the text of an unresolved reference;
//   - a grant of EXTERNAL USE SCHEMA, which only the owner of the catalog may give: deployers in these tests do not own it;
//   - a secret ACL for an unknown principal, such as the text of an unresolved reference;
//   - a permission for an unknown user, group or service principal;
//   - a job or an alert that runs as an unknown principal, or that notifies an invalid e-mail address;
//   - an app with `run_as`, or with a secret that does not exist; Databricks lets the app read the scope of an existing secret;
//   - a run of a job whose files or secret scope do not exist, or are not readable by its principal.
func addRules(server *testserver.Server) {
	server.Handle("GET", "/api/2.0/preview/scim/v2/Me", me)
	server.Handle("PATCH", "/api/2.1/unity-catalog/permissions/{securable_type}/{full_name}", updateGrants)
	server.Handle("POST", "/api/2.0/secrets/acls/put", putACL)
	server.Handle("PUT", "/api/2.0/permissions/{object_type}/{object_id}", setPermissions)
	server.Handle("PUT", "/api/2.0/permissions/{prefix}/{object_type}/{object_id}", setPermissions)
	server.Handle("POST", "/api/2.2/jobs/create", createJob)
	server.Handle("POST", "/api/2.2/jobs/reset", resetJob)
	server.Handle("POST", "/api/2.2/jobs/run-now", runJob)
	server.Handle("POST", "/api/2.0/alerts", createAlert)
	server.Handle("PATCH", "/api/2.0/alerts/{id}", updateAlert)
	server.Handle("POST", "/api/2.0/apps", createApp)
	server.Handle("PATCH", "/api/2.0/apps/{name}", replaceApp)
	server.Handle("POST", "/api/2.0/apps/{name}/update", updateApp)
}

type refusal struct {
	ErrorCode string `json:"error_code"`
	Message   string `json:"message"`
}

func refuse(status int, code, format string, arguments ...any) testserver.Response {
	return testserver.Response{StatusCode: status, Body: refusal{code, fmt.Sprintf(format, arguments...)}}
}

func invalid(format string, arguments ...any) testserver.Response {
	return refuse(400, "INVALID_PARAMETER_VALUE", format, arguments...)
}

func isUser(name string) bool { return name == testserver.TestUser.UserName }

func isServicePrincipal(space *testserver.FakeWorkspace, name string) bool {
	if name == servicePrincipal || name == testserver.TestUserSP.UserName {
		return true
	}
	defer space.LockUnlock()()
	for _, app := range space.Apps {
		if app.ServicePrincipalClientId == name {
			return true
		}
	}
	return false
}

func isWorkspaceGroup(name string) bool {
	return slices.Contains(workspaceGroups, name) || name == accountGroup
}

func updateGrants(request testserver.Request) any {
	var update catalog.UpdatePermissions
	if err := json.Unmarshal(request.Body, &update); err != nil {
		return invalid("%s", err)
	}
	for _, change := range update.Changes {
		name := change.Principal
		known := isUser(name) || slices.Contains(accountGroups, name) || isServicePrincipal(request.Workspace, name)
		if !known {
			return refuse(404, "PRINCIPAL_DOES_NOT_EXIST", "Could not find principal with name %s", name)
		}
		if slices.Contains(change.Add, catalog.PrivilegeExternalUseSchema) {
			return refuse(403, "PERMISSION_DENIED", "Only the owner of the catalog can grant EXTERNAL USE SCHEMA")
		}
	}
	return request.Workspace.GrantsUpdate(request, request.Vars["securable_type"], request.Vars["full_name"])
}

func putACL(request testserver.Request) any {
	var acl workspace.PutAcl
	if err := json.Unmarshal(request.Body, &acl); err != nil {
		return invalid("%s", err)
	}
	name := acl.Principal
	if !isUser(name) && !isWorkspaceGroup(name) && !isServicePrincipal(request.Workspace, name) {
		return refuse(404, "RESOURCE_DOES_NOT_EXIST", "Principal %s does not exist", name)
	}
	return request.Workspace.SecretsAclsPut(request)
}

func setPermissions(request testserver.Request) any {
	var update iam.SetObjectPermissions
	if err := json.Unmarshal(request.Body, &update); err != nil {
		return invalid("%s", err)
	}
	seen := map[string]bool{}
	for _, entry := range update.AccessControlList {
		name := entry.UserName + entry.GroupName + entry.ServicePrincipalName
		switch {
		case entry.UserName != "" && isUser(name):
		case entry.GroupName != "" && isWorkspaceGroup(name):
		case entry.ServicePrincipalName != "" && isServicePrincipal(request.Workspace, name):
		default:
			return refuse(404, "RESOURCE_DOES_NOT_EXIST", "Principal %q does not exist", name)
		}
		if seen[name] {
			return invalid("Principal %s has more than one permission", name)
		}
		seen[name] = true
	}
	return request.Workspace.SetPermissions(request)
}

// checkJob returns the refusal of a job, or nil.
func checkJob(space *testserver.FakeWorkspace, settings jobs.JobSettings) any {
	if runAs := settings.RunAs; runAs != nil {
		if runAs.ServicePrincipalName != "" && !isServicePrincipal(space, runAs.ServicePrincipalName) {
			return invalid("Service principal %s does not exist", runAs.ServicePrincipalName)
		}
		if runAs.UserName != "" && !isUser(runAs.UserName) {
			return invalid("User %s does not exist", runAs.UserName)
		}
	}
	if settings.EmailNotifications != nil {
		for _, address := range settings.EmailNotifications.OnFailure {
			if !strings.Contains(address, "@") {
				return invalid("%s is not an e-mail address", address)
			}
		}
	}
	return nil
}

func createJob(request testserver.Request) any {
	var settings jobs.JobSettings
	if err := json.Unmarshal(request.Body, &settings); err != nil {
		return invalid("%s", err)
	}
	if refused := checkJob(request.Workspace, settings); refused != nil {
		return refused
	}
	return request.Workspace.JobsCreate(request)
}

func resetJob(request testserver.Request) any {
	var reset jobs.ResetJob
	if err := json.Unmarshal(request.Body, &reset); err != nil {
		return invalid("%s", err)
	}
	if refused := checkJob(request.Workspace, reset.NewSettings); refused != nil {
		return refused
	}
	return request.Workspace.JobsReset(request)
}

type alert struct {
	RunAs *struct {
		ServicePrincipalName string `json:"service_principal_name"`
	} `json:"run_as"`
	Evaluation struct {
		Notification struct {
			Subscriptions []struct {
				UserEmail string `json:"user_email"`
			} `json:"subscriptions"`
		} `json:"notification"`
	} `json:"evaluation"`
}

func checkAlert(request testserver.Request) any {
	var given alert
	if err := json.Unmarshal(request.Body, &given); err != nil {
		return invalid("%s", err)
	}
	if given.RunAs != nil && !isServicePrincipal(request.Workspace, given.RunAs.ServicePrincipalName) {
		return invalid("Service principal %s does not exist", given.RunAs.ServicePrincipalName)
	}
	for _, subscription := range given.Evaluation.Notification.Subscriptions {
		if !strings.Contains(subscription.UserEmail, "@") {
			return invalid("%s is not an e-mail address", subscription.UserEmail)
		}
	}
	return nil
}

func createAlert(request testserver.Request) any {
	if refused := checkAlert(request); refused != nil {
		return refused
	}
	return request.Workspace.AlertsUpsert(request, "")
}

func updateAlert(request testserver.Request) any {
	if refused := checkAlert(request); refused != nil {
		return refused
	}
	return request.Workspace.AlertsUpsert(request, request.Vars["id"])
}

// checkApp returns the refusal of an app, or nil.
func checkApp(space *testserver.FakeWorkspace, body []byte) any {
	var fields map[string]json.RawMessage
	var app apps.App
	if err := json.Unmarshal(body, &fields); err != nil {
		return invalid("%s", err)
	}
	if err := json.Unmarshal(body, &app); err != nil {
		return invalid("%s", err)
	}
	if _, ok := fields["run_as"]; ok {
		return invalid("Unknown field run_as: an app runs as its own service principal")
	}
	defer space.LockUnlock()()
	for _, resource := range app.Resources {
		if secret := resource.Secret; secret != nil {
			if _, ok := space.Secrets[secret.Scope][secret.Key]; !ok {
				return invalid("Secret %s does not exist in scope %s", secret.Key, secret.Scope)
			}
		}
	}
	return nil
}

// letAppRead adds the ACLs that Databricks grants to the service principal of an app with secrets.
func letAppRead(space *testserver.FakeWorkspace, name string) {
	defer space.LockUnlock()()
	app := space.Apps[name]
	for _, resource := range app.Resources {
		if secret := resource.Secret; secret != nil {
			acl := workspace.AclItem{
				Principal:  app.ServicePrincipalClientId,
				Permission: workspace.AclPermission(secret.Permission),
			}
			if !slices.Contains(space.Acls[secret.Scope], acl) {
				space.Acls[secret.Scope] = append(space.Acls[secret.Scope], acl)
			}
		}
	}
}

func createApp(request testserver.Request) any {
	if refused := checkApp(request.Workspace, request.Body); refused != nil {
		return refused
	}
	var app apps.App
	_ = json.Unmarshal(request.Body, &app)
	response := request.Workspace.AppsUpsert(request, "")
	letAppRead(request.Workspace, app.Name)
	return response
}

func replaceApp(request testserver.Request) any {
	if refused := checkApp(request.Workspace, request.Body); refused != nil {
		return refused
	}
	response := request.Workspace.AppsUpsert(request, request.Vars["name"])
	letAppRead(request.Workspace, request.Vars["name"])
	return response
}

func updateApp(request testserver.Request) any {
	var update struct {
		App json.RawMessage `json:"app"`
	}
	if err := json.Unmarshal(request.Body, &update); err != nil {
		return invalid("%s", err)
	}
	if refused := checkApp(request.Workspace, update.App); refused != nil {
		return refused
	}
	response := request.Workspace.AppsCreateUpdate(request, request.Vars["name"])
	letAppRead(request.Workspace, request.Vars["name"])
	return response
}

// runJob runs no task. It checks that the job's principal can start each task, and then reports success.
func runJob(request testserver.Request) any {
	var now jobs.RunNow
	if err := json.Unmarshal(request.Body, &now); err != nil {
		return invalid("%s", err)
	}
	space := request.Workspace
	unlock := space.LockUnlock()
	job, ok := space.Jobs[now.JobId]
	id := int64(len(space.JobRuns) + 1)
	unlock()
	if !ok {
		return invalid("Job %d does not exist.", now.JobId)
	}
	run := jobs.Run{
		RunId:      id,
		JobId:      now.JobId,
		RunName:    job.Settings.Name,
		RunType:    jobs.RunTypeJobRun,
		RunPageUrl: fmt.Sprintf("run/%d", id),
		State:      &jobs.RunState{LifeCycleState: jobs.RunLifeCycleStateRunning},
	}
	for number, task := range job.Settings.Tasks {
		state := &jobs.RunState{LifeCycleState: jobs.RunLifeCycleStateTerminated, ResultState: jobs.RunResultStateSuccess}
		if reason := cannotStart(space, job, task); reason != "" {
			state.ResultState, state.StateMessage = jobs.RunResultStateFailed, reason
			run.State = state
		}
		run.Tasks = append(run.Tasks, jobs.RunTask{RunId: id*100 + int64(number), TaskKey: task.TaskKey, State: state})
	}
	defer space.LockUnlock()()
	space.JobRuns[id] = run
	return testserver.Response{Body: jobs.RunNowResponse{RunId: id}}
}

// cannotStart returns the reason why a task cannot start, or an empty text.
func cannotStart(space *testserver.FakeWorkspace, job jobs.Job, task jobs.Task) string {
	as := job.CreatorUserName
	if runAs := job.Settings.RunAs; runAs != nil {
		as = runAs.ServicePrincipalName + runAs.UserName
	}
	if task.SparkPythonTask == nil {
		return "not a Python task"
	}
	files := []string{task.SparkPythonTask.PythonFile}
	options := task.SparkPythonTask.Parameters
	for position, option := range options[:max(len(options)-1, 0)] {
		value := options[position+1]
		switch option {
		case "--":
			// The arguments of the binary follow.
		case "--binary":
			files = append(files, value+"-x86_64.gz.00")
		case "--config":
			files = append(files, value)
		case "--scope":
			if !canReadSecrets(space, value, as) {
				return fmt.Sprintf("%s cannot read the secret scope %s", as, value)
			}
		}
		if name, ok := strings.CutPrefix(value, "/Volumes/"); ok && !isVolume(space, name) {
			return fmt.Sprintf("the volume of %s does not exist", value)
		}
	}
	for _, file := range files {
		if len(space.WorkspaceExport(file)) == 0 {
			return file + " does not exist"
		}
		if !canReadFile(space, file, as) {
			return fmt.Sprintf("%s cannot read %s", as, file)
		}
	}
	return ""
}

func canReadSecrets(space *testserver.FakeWorkspace, scope, as string) bool {
	defer space.LockUnlock()()
	return slices.ContainsFunc(space.Acls[scope], func(acl workspace.AclItem) bool { return acl.Principal == as })
}

func isVolume(space *testserver.FakeWorkspace, name string) bool {
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 3 {
		return false
	}
	defer space.LockUnlock()()
	_, ok := space.Volumes[strings.Join(parts[:3], ".")]
	return ok
}

// canReadFile returns whether a principal has a permission on a folder above a file, or owns the home folder around it.
func canReadFile(space *testserver.FakeWorkspace, file, as string) bool {
	if strings.HasPrefix(file, "/Workspace/Users/"+as+"/") {
		return true
	}
	for folder := path.Dir(file); folder != "/" && folder != "."; folder = path.Dir(folder) {
		id := folderID(space, folder)
		unlock := space.LockUnlock()
		entries := space.Permissions[fmt.Sprintf("/directories/%d", id)].AccessControlList
		unlock()
		for _, entry := range entries {
			if entry.ServicePrincipalName == as || entry.UserName == as {
				return true
			}
		}
	}
	return false
}

func folderID(space *testserver.FakeWorkspace, folder string) int64 {
	var status workspace.ObjectInfo
	text, err := json.Marshal(space.WorkspaceGetStatus(folder).Body)
	if err != nil || json.Unmarshal(text, &status) != nil {
		return 0
	}
	return status.ObjectId
}
