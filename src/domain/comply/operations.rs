//! Who is told, who it runs as, where its code is.

use serde_json::{Map, Value, json};

use super::{
    Fix, Subject, Verdict,
    reliability::of_job,
    shape::{Odd, Tasks, counted, list, named, object, text},
};
use crate::domain::policy::comply::Comply;

const METRIC: &str = "RUN_DURATION_SECONDS";

/// Somebody is told when a run fails, by e-mail or webhook.
pub fn failure_notification(subject: &Subject<'_>, comply: &Comply) -> Verdict {
    let mut told = 0;
    for (name, noun) in [("email_notifications", "e-mail"), ("webhook_notifications", "webhook")] {
        let recipients = object(subject.settings, name).and_then(|one| one.map_or(Ok(&[][..]), on_failure));
        match recipients {
            Err(Odd) => return Verdict::Partial(format!("who is told by {noun} could not be understood")),
            Ok(recipients) => told += recipients.len(),
        }
    }
    if told > 0 {
        return Verdict::Pass(format!("{} of a failure", counted(told, "recipient")));
    }
    let text = "nobody is told when a run fails, by e-mail or webhook".to_owned();
    let person = subject.creator.filter(|creator| is_address(creator));
    let Some(address) = comply.email.as_deref().or(person) else {
        let hand = "name whoever is on call in email_notifications.on_failure or webhook_notifications.on_failure";
        return Verdict::Fail(text, Fix::ByHand(hand.into()));
    };
    let mut notifications = object(subject.settings, "email_notifications").ok().flatten().cloned().unwrap_or_default();
    notifications.insert("on_failure".into(), json!([address]));
    Verdict::Fail(text, of_job("email_notifications", Value::Object(notifications)))
}

fn on_failure(notifications: &Map<String, Value>) -> Result<&[Value], Odd> {
    list(notifications, "on_failure")
}

fn is_address(text: &str) -> bool {
    text.contains('@') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Somebody is told when a run takes longer than it should.
pub fn duration_warning(subject: &Subject<'_>, comply: &Comply) -> Verdict {
    let health = match object(subject.settings, "health") {
        Err(Odd) => return Verdict::Partial("health is no object".into()),
        Ok(health) => health,
    };
    let rules = match health.map_or(Ok(&[][..]), |health| list(health, "rules")) {
        Err(Odd) => return Verdict::Partial("health.rules is no list".into()),
        Ok(rules) => rules,
    };
    if rules.iter().any(|rule| rule.get("metric").is_some_and(|metric| metric == METRIC)) {
        return Verdict::Pass("a health rule watches how long a run takes".into());
    }
    let mut all = rules.to_vec();
    all.push(json!({ "metric": METRIC, "op": "GREATER_THAN", "value": comply.duration_seconds }));
    Verdict::Fail("no health rule watches how long a run takes".into(), of_job("health", json!({ "rules": all })))
}

/// It runs as a service principal, which the API tells by an application id.
pub fn run_as(subject: &Subject<'_>, comply: &Comply) -> Verdict {
    let said = match object(subject.settings, "run_as") {
        Err(Odd) => return Verdict::Partial("run_as is no object".into()),
        Ok(said) => said,
    };
    let principal = said.and_then(|said| text(said, "service_principal_name").ok().flatten());
    let person = said.and_then(|said| text(said, "user_name").ok().flatten());
    let by_name = subject.run_as.map(str::trim).filter(|name| !name.is_empty());
    let person = match (principal, person.or(by_name)) {
        (Some(_), _) => None,
        (None, Some(name)) if is_application_id(name) => None,
        (None, Some(name)) => Some(name),
        (None, None) => return Verdict::Partial("as whom it runs was not told".into()),
    };
    let Some(person) = person else { return Verdict::Pass("it runs as a service principal".into()) };
    let principal = comply.service_principal.as_deref().unwrap_or("APPLICATION_ID");
    // The API takes run_as and does not show it: a block could neither compare nor verify it.
    let body = json!({ "job_id": subject.id, "new_settings": { "run_as": { "service_principal_name": principal } } });
    let hand = format!("databricks jobs update --json '{}'", body.to_string().replace('\'', "\\u0027"));
    Verdict::Fail(format!("it runs as {}, who is a person", named([person])), Fix::ByHand(hand))
}

/// `0f8fad5b-d9cb-469f-a165-70867728950e`
fn is_application_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// Nothing runs from the folder of a person.
pub fn shared_code(subject: &Subject<'_>, tasks: &Tasks<'_>) -> Verdict {
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
            if !git && folder_of_a_person(path) {
                personal.push(task.key);
            }
        }
    }
    match (personal.is_empty(), &tasks.unclear) {
        (true, Some(why)) => Verdict::Partial(why.clone()),
        (true, None) => Verdict::Pass("no task runs from the folder of a person".into()),
        (false, _) => {
            let text = format!(
                "{} of {} runs from the folder of a person: {}",
                personal.len(),
                counted(tasks.working.len(), "task"),
                named(personal)
            );
            let hand = "deploy the code with a bundle, or from a Git folder outside /Users, and point the tasks there";
            Verdict::Fail(text, Fix::ByHand(hand.into()))
        }
    }
}

/// `/Users/ada@example.test/…`; the folder of a service principal has its application id for a name.
fn folder_of_a_person(path: &str) -> bool {
    let path = path.strip_prefix("file:").unwrap_or(path);
    let path = path.strip_prefix("/Workspace").unwrap_or(path);
    let owner = path.strip_prefix("/Users/").and_then(|rest| rest.split('/').next());
    owner.is_some_and(|owner| !owner.is_empty() && !is_application_id(owner))
}
