//! Rules about operations: notifications, identity and code location.

use serde_json::{Map, Value, json};

use super::{
    CheckedJob, RuleFix, RuleVerdict,
    job_settings::{JobTasks, WrongType, counted, list, named, object, text},
    reliability::of_job,
};
use crate::domain::policy::compliance::CompliancePolicy;

const METRIC: &str = "RUN_DURATION_SECONDS";

/// Checks that a failed run sends a notification by e-mail or webhook.
pub fn failure_notification(subject: &CheckedJob<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    let mut recipient_count = 0;
    for (name, noun) in [("email_notifications", "e-mail"), ("webhook_notifications", "webhook")] {
        let recipients = object(subject.settings, name).and_then(|one| one.map_or(Ok(&[][..]), on_failure));
        match recipients {
            Err(WrongType) => {
                return RuleVerdict::Partial(format!("the {noun} notifications have an unexpected format"));
            }
            Ok(recipients) => recipient_count += recipients.len(),
        }
    }
    if recipient_count > 0 {
        return RuleVerdict::Pass(format!("{} of failure notifications", counted(recipient_count, "recipient")));
    }
    let text = "a failed run sends no e-mail or webhook notification".to_owned();
    let person = subject.creator.filter(|creator| is_address(creator));
    let Some(address) = comply.email.as_deref().or(person) else {
        let hand = "add the on-call engineer to email_notifications.on_failure or webhook_notifications.on_failure";
        return RuleVerdict::Fail(text, RuleFix::ByHand(hand.into()));
    };
    let mut notifications = object(subject.settings, "email_notifications").ok().flatten().cloned().unwrap_or_default();
    notifications.insert("on_failure".into(), json!([address]));
    RuleVerdict::Fail(text, of_job("email_notifications", Value::Object(notifications)))
}

fn on_failure(notifications: &Map<String, Value>) -> Result<&[Value], WrongType> {
    list(notifications, "on_failure")
}

fn is_address(text: &str) -> bool {
    text.contains('@') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Checks that a run over its expected duration sends a notification.
pub fn duration_warning(subject: &CheckedJob<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    let health = match object(subject.settings, "health") {
        Err(WrongType) => return RuleVerdict::Partial("health is not an object".into()),
        Ok(health) => health,
    };
    let rules = match health.map_or(Ok(&[][..]), |health| list(health, "rules")) {
        Err(WrongType) => return RuleVerdict::Partial("health.rules is not a list".into()),
        Ok(rules) => rules,
    };
    if rules.iter().any(|rule| rule.get("metric").is_some_and(|metric| metric == METRIC)) {
        return RuleVerdict::Pass("a health rule checks the run duration".into());
    }
    let mut all = rules.to_vec();
    all.push(json!({ "metric": METRIC, "op": "GREATER_THAN", "value": comply.duration_seconds }));
    RuleVerdict::Fail("no health rule checks the run duration".into(), of_job("health", json!({ "rules": all })))
}

/// Checks that the job runs as a service principal, which the API identifies by an application id.
pub fn run_as(subject: &CheckedJob<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    let run_as = match object(subject.settings, "run_as") {
        Err(WrongType) => return RuleVerdict::Partial("run_as is not an object".into()),
        Ok(run_as) => run_as,
    };
    let principal = run_as.and_then(|run_as| text(run_as, "service_principal_name").ok().flatten());
    let person = run_as.and_then(|run_as| text(run_as, "user_name").ok().flatten());
    let by_name = subject.run_as.map(str::trim).filter(|name| !name.is_empty());
    let person = match (principal, person.or(by_name)) {
        (Some(_), _) => None,
        (None, Some(name)) if is_application_id(name) => None,
        (None, Some(name)) => Some(name),
        (None, None) => return RuleVerdict::Partial("the identity of the job is unknown".into()),
    };
    let Some(person) = person else { return RuleVerdict::Pass("it runs as a service principal".into()) };
    let principal = comply.service_principal.as_deref().unwrap_or("APPLICATION_ID");
    // The API accepts run_as but does not return it, so a settings step could neither compare nor verify it.
    let body = json!({ "job_id": subject.id, "new_settings": { "run_as": { "service_principal_name": principal } } });
    let hand = format!("databricks jobs update --json '{}'", body.to_string().replace('\'', "\\u0027"));
    RuleVerdict::Fail(format!("it runs as {}, who is a person", named([person])), RuleFix::ByHand(hand))
}

/// Returns true for a UUID such as `0f8fad5b-d9cb-469f-a165-70867728950e`.
fn is_application_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// Checks that no task runs code from the folder of a person.
pub fn shared_code(subject: &CheckedJob<'_>, tasks: &JobTasks<'_>) -> RuleVerdict {
    let from_git = subject.settings.get("git_source").is_some_and(Value::is_object);
    let mut personal = Vec::new();
    for task in &tasks.working {
        for (kind, name) in [("notebook_task", "notebook_path"), ("spark_python_task", "python_file")] {
            let Ok(Some(work)) = object(task.settings, kind) else { continue };
            let Ok(Some(path)) = text(work, name) else { continue };
            let git = text(work, "source").is_ok_and(|source| match source {
                Some(source) => source == "GIT",
                None => from_git,
            });
            if !git && is_personal_folder(path) {
                personal.push(task.key);
            }
        }
    }
    match (personal.is_empty(), &tasks.unclear) {
        (true, Some(why)) => RuleVerdict::Partial(why.clone()),
        (true, None) => RuleVerdict::Pass("no task runs from the folder of a person".into()),
        (false, _) => {
            let text = format!(
                "{} of {} runs from the folder of a person: {}",
                personal.len(),
                counted(tasks.working.len(), "task"),
                named(personal)
            );
            let hand = "deploy the code with a bundle, or from a Git folder outside /Users, and point the tasks there";
            RuleVerdict::Fail(text, RuleFix::ByHand(hand.into()))
        }
    }
}

/// Returns true for a path such as `/Users/ada@example.test/…`. The folder of a service principal is named after its
/// application id.
fn is_personal_folder(path: &str) -> bool {
    let path = path.strip_prefix("file:").unwrap_or(path);
    let path = path.strip_prefix("/Workspace").unwrap_or(path);
    let owner = path.strip_prefix("/Users/").and_then(|rest| rest.split('/').next());
    owner.is_some_and(|owner| !owner.is_empty() && !is_application_id(owner))
}
