//! Blocks for job, cluster and warehouse settings: compare with the capture, change, validate, roll back.
//!
//! All tasks of a job are compared first and then sent, the unchanged ones as captured. So the result is the same whether a
//! workspace merges tasks by key, as Databricks does, or replaces them.

use serde_json::{Map, Value, json};

use super::{
    EntryPart, RunbookEntry, StepContext,
    change::{ChangedResource, SettingsChange, job_id, parse_change},
    jq,
    quote::{json_line, json_word, shown},
    shell::ApiCalls,
};
use crate::domain::{ids::sha256_hex, remediation::RemediationResult};

const CHECK: &str = "Check that nothing has drifted since the capture:";
const CAPTURE: &str = "Capture the settings as they are, or check that nothing has drifted since:";
const VALIDATE: &str = "Validate fix:";
const TEST: &str = "Test (optional, run once):";
const MONITOR: &str = "Monitor next 3 runs for success.";
const ROLLBACK: &str = "Restore the captured settings:";

pub fn fill(entry: &mut RunbookEntry, context: &StepContext<'_>) {
    let apply = match context.step.resource_kind.as_ref().map(|kind| kind.as_str()) {
        Some("cluster") => "Update cluster configuration:",
        Some("warehouse" | "sql_warehouse") => "Update warehouse configuration:",
        _ => "Update job configuration:",
    };
    let parsed = match parse_change(context.step, &context.shell) {
        Ok(parsed) => parsed,
        Err(why) => {
            let why = format!("Not available: {why}.");
            entry.check = EntryPart::without(CHECK, why.as_str());
            entry.apply = EntryPart::without(apply, why.as_str());
            entry.validate = EntryPart::without(VALIDATE, why.as_str());
            entry.test = EntryPart::without(TEST, why.as_str());
            entry.monitor = EntryPart::without(MONITOR, why.as_str());
            entry.rollback = EntryPart::without(ROLLBACK, why);
            return;
        }
    };
    entry.notes.extend(parsed.notes.iter().cloned());
    let blocks = SettingsBlocks { context, parsed: &parsed };
    let captured_late =
        parsed.captured.is_none() && context.step.applied && context.step.result != Some(RemediationResult::Failed);
    if parsed.bundle {
        by_bundle(entry, &parsed, apply);
    } else {
        entry.check = EntryPart::run(if parsed.captured.is_some() { CHECK } else { CAPTURE }, blocks.check());
        entry.apply = EntryPart::run(apply, blocks.apply());
        entry.apply.notes.extend(warning(&parsed));
        entry.rollback = if captured_late {
            let why = "Not available: the change was recorded as applied, and nothing was captured before it.";
            EntryPart::without(ROLLBACK, why)
        } else {
            EntryPart::run(ROLLBACK, blocks.rollback())
        };
    }
    entry.validate = EntryPart::run(VALIDATE, blocks.validate());
    entry.validate.expected = expected(&parsed);
    (entry.test, entry.monitor) = test_and_monitor(context, &parsed.resource);
}

/// Test and monitoring of the changed job, or else of the job that the incident is about.
pub fn test_and_monitor(context: &StepContext<'_>, resource: &ChangedResource) -> (EntryPart, EntryPart) {
    match resource {
        ChangedResource::Job(id) => of_job(context, *id),
        _ => of_incident(context),
    }
}

pub fn of_incident(context: &StepContext<'_>) -> (EntryPart, EntryPart) {
    let job = context.job.ok_or_else(|| "the incident is not about a job".to_owned());
    match job.and_then(job_id).and_then(|id| context.shell.supports_id(id).map(|()| id).map_err(str::to_owned)) {
        Ok(id) => of_job(context, id),
        Err(why) => {
            let why = format!("Not available: {why}. Watch the next 3 runs of the jobs that depend on this.");
            (EntryPart::without(TEST, why.as_str()), EntryPart::without(MONITOR, why))
        }
    }
}

fn of_job(context: &StepContext<'_>, id: u64) -> (EntryPart, EntryPart) {
    let step = context.step;
    // incident ids are not unique across lakes, so the token includes the time
    let digest = sha256_hex(format!("{id} {} {} {}", step.recorded_at.micros(), step.seq, step.ordinal));
    let digest = digest.get(..16).unwrap_or_default();
    let token = format!("runbook-{}-{}-{digest}", step.incident_id, context.number);
    (EntryPart::run(TEST, context.shell.run_now(id, &token)), EntryPart::run(MONITOR, context.shell.newest_runs(id)))
}

fn warning(parsed: &SettingsChange) -> Option<String> {
    let text = match parsed.resource {
        ChangedResource::Cluster(_) => "This restarts a running cluster.",
        ChangedResource::Warehouse(_) => "A running warehouse may restart, and queries on it may fail.",
        ChangedResource::Job(_) if parsed.change.fields.contains_key("timeout_seconds") => {
            "A new timeout_seconds also applies to active runs of the job."
        }
        ChangedResource::Job(_) => return None,
    };
    Some(text.into())
}

/// The expected output of the validation.
fn expected(parsed: &SettingsChange) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, value) in parsed.change.wanted() {
        let name = place.last().copied().unwrap_or_default();
        let task = match place.as_slice() {
            [_, key, _] => format!(" (task {})", json_line(&Value::from(*key))),
            _ => String::new(),
        };
        lines.push(format!("Expected: {} {}{task}", json_line(&Value::from(name)), json_line(value)));
    }
    lines.push("Expected: true, and exit code 0".into());
    lines
}

/// The parts of a job that a bundle deployed: the next deploy would overwrite a change in the workspace.
fn by_bundle(entry: &mut RunbookEntry, parsed: &SettingsChange, apply: &str) {
    let change = &parsed.change;
    entry.check = EntryPart::without(CHECK, "Not needed: nothing is changed in the workspace.");
    let mut notes = vec![
        "A bundle deployed this job, and its next deploy would overwrite a change made here. SettingChange the bundle instead:"
            .to_owned(),
        format!("in the YAML of the bundle, the resource under resources.jobs whose job has id {}", parsed.resource.id()),
    ];
    for key in &change.task_keys {
        notes.push(format!("  the task with task_key {}", shown(key)));
        notes.extend(change.task.iter().map(|(name, value)| format!("    {}: {}", shown(name), json_line(value))));
    }
    notes.extend(change.fields.iter().map(|(name, value)| format!("  {}: {}", shown(name), json_line(value))));
    notes.push("then deploy it: databricks bundle deploy --target TARGET".into());
    entry.apply = EntryPart { heading: apply.into(), notes, ..EntryPart::default() };
    entry.rollback = EntryPart::without(ROLLBACK, "Revert the change in the bundle, then deploy it again.");
}

/// Builds the blocks of one step.
struct SettingsBlocks<'a> {
    context: &'a StepContext<'a>,
    parsed: &'a SettingsChange,
}

#[derive(Clone, Copy)]
enum Direction {
    Apply,
    Rollback,
}

impl SettingsBlocks<'_> {
    fn check(&self) -> String {
        let capture = if self.parsed.captured.is_some() {
            String::new()
        } else {
            format!(
                "if [ ! -e {file} ]; then\n\
                 \x20 printf '%s\\n' \"$live\" | jq '{exact}' || exit 1\n\
                 \x20 (umask 077 && set -o noclobber && printf '%s\\n' \"$live\" >{file}) || exit 1\n\
                 \x20 echo 'captured into {file}'\n\
                 fi\n",
                file = self.file(),
                exact = jq::EXACT
            )
        };
        let body = format!(
            "{}live=$({}) || exit 1\n{capture}{}{}\
             case $state in\n\
             \x20 '\"as captured\"' | '\"either\"') echo 'ok: nothing has drifted since the capture' ;;\n\
             \x20 '\"as changed\"') echo 'ok: the change is in place, and nothing else has drifted' ;;\n\
             \x20 *)\n    printf '%s\\n' \"$state\" >&2\n    echo 'stop: the live settings are not the captured ones' >&2\n    exit 1\n    ;;\n\
             esac\n",
            self.wanted(),
            self.live(),
            self.captured(),
            compare(jq::COMPARE)
        );
        self.context.shell.block(ApiCalls::Get, &body)
    }

    fn apply(&self) -> String {
        self.write(
            Direction::Apply,
            "  '\"as captured\"' | '\"either\"') ;;\n  \
               '\"as changed\"')\n    echo 'nothing to do: the change is in place'\n    exit 0\n    ;;\n  \
               *)\n    printf '%s\\n' \"$state\" >&2\n    echo 'stop: the live settings are not the captured ones; nothing was changed' >&2\n    exit 1\n    ;;\n",
            "echo 'applied'\n",
        )
    }

    fn rollback(&self) -> String {
        let read_back = format!(
            "live=$({}) || exit 1\n{}\
             if [ -n \"$state\" ]; then\n\
             \x20 printf '%s\\n' \"$state\" >&2\n\
             \x20 echo 'FAILED: the restored settings were sent, and the live ones still differ from the captured ones' >&2\n\
             \x20 exit 1\n\
             fi\n\
             echo 'rolled back: the live settings are the captured ones'\n",
            self.live(),
            compare(jq::READ_BACK)
        );
        self.write(
            Direction::Rollback,
            "  '\"as changed\"' | '\"either\"') ;;\n  \
               '\"as captured\"')\n    echo 'nothing to do: the settings are as captured'\n    exit 0\n    ;;\n  \
               *)\n    printf '%s\\n' \"$state\" >&2\n    \
                 echo 'the live settings are neither as captured nor as changed' >&2\n    \
                 if [ \"${ROLLBACK_ANYWAY:-}\" != 1 ]; then\n      \
                   echo 'stop: nothing was changed; with ROLLBACK_ANYWAY=1 in the environment the captured ones overwrite them' >&2\n      \
                   exit 1\n    \
                 fi\n    ;;\n",
            &read_back,
        )
    }

    /// Returns a block that writes settings. `judge` has the `case` branches by state, `done` the commands after the change.
    fn write(&self, direction: Direction, judge: &str, done: &str) -> String {
        let path = match &self.parsed.resource {
            ChangedResource::Job(_) => "/api/2.2/jobs/update".to_owned(),
            ChangedResource::Cluster(_) => "/api/2.1/clusters/update".to_owned(),
            ChangedResource::Warehouse(id) => format!("/api/2.0/sql/warehouses/{id}/edit"),
        };
        let body = format!(
            "{}{}live=$({}) || exit 1\n{}case $state in\n{judge}esac\n{}\
             printf '%s\\n' \"$body\" | post {path} >/dev/null || exit 1\n\
             {done}",
            self.wanted(),
            self.captured(),
            self.live(),
            compare(jq::COMPARE),
            self.body(direction)
        );
        self.context.shell.block(ApiCalls::Both, &body)
    }

    fn validate(&self) -> String {
        let body = format!(
            "{}live=$({}) || exit 1\n\
             printf '%s\\n' \"$want\" \"$live\" | jq -n -a -c -e '{}'\n",
            self.wanted(),
            self.live(),
            jq::VALIDATE
        );
        self.context.shell.block(ApiCalls::Get, &body)
    }

    /// A command that prints the live settings.
    fn live(&self) -> String {
        let id = match &self.parsed.resource {
            ChangedResource::Job(id) => id,
            ChangedResource::Cluster(id) => return format!("get '/api/2.1/clusters/get?cluster_id={id}'"),
            ChangedResource::Warehouse(id) => return format!("get '/api/2.0/sql/warehouses/{id}'"),
        };
        let captured = self.parsed.captured.as_ref();
        let tasks = captured.and_then(|settings| settings.get("tasks")).and_then(Value::as_array);
        // a job with more pages than the capture has drifted in any case
        if tasks.is_some_and(|tasks| tasks.len() <= PAGE) {
            return format!("get '/api/2.2/jobs/get?job_id={id}' | jq -a -c '{}'", jq::JOB_PAGE);
        }
        format!(
            "\n\
             \x20 page='' next=''\n\
             \x20 while :; do\n\
             \x20   page=$(get \"/api/2.2/jobs/get?job_id={id}${{next:+&page_token=$next}}\") || exit 1\n\
             \x20   printf '%s\\n' \"$page\"\n\
             \x20   next=$(printf '%s\\n' \"$page\" | jq -r '.next_page_token // \"\" | @uri') || exit 1\n\
             \x20   if [ -z \"$next\" ]; then break; fi\n\
             \x20 done | jq -s -a -c '{}'\n",
            jq::JOB_PAGES
        )
    }

    /// The command that sets `body`, the request to write.
    fn body(&self, direction: Direction) -> String {
        let back = matches!(direction, Direction::Rollback);
        let compute = |inputs: &str, arguments: &str, program: &str| {
            format!(
                "body=$(printf '%s\\n' {inputs} |\n  jq -n -a -c --argjson back {back}{arguments} '{program}') || exit 1\n"
            )
        };
        let parsed = self.parsed;
        match (&parsed.resource, &parsed.captured) {
            (ChangedResource::Warehouse(_), _) => compute("\"$want\" \"$captured\" \"$live\"", "", jq::WAREHOUSE_BODY),
            (ChangedResource::Job(id), None) => {
                // jq 1.6 would round the id
                compute("\"$want\" \"$captured\"", "", jq::JOB_BODY)
                    + &format!("body='{{\"job_id\":{id},'${{body#?}}\n")
            }
            (ChangedResource::Cluster(id), None) => {
                compute("\"$want\" \"$captured\"", &format!(" --arg id '{id}'"), jq::CLUSTER_BODY)
            }
            (resource, Some(captured)) => {
                let after = parsed.change.applied_to(captured);
                let (from, to) = if back { (&after, captured) } else { (captured, &after) };
                let body = match resource {
                    ChangedResource::Job(id) => match removed(from, to) {
                        none if none.is_empty() => json!({ "job_id": id, "new_settings": to }),
                        names => json!({ "job_id": id, "new_settings": to, "fields_to_remove": names }),
                    },
                    _ => json!({
                        "cluster_id": resource.id(),
                        "update_mask": parsed.change.fields.keys().cloned().collect::<Vec<_>>().join(","),
                        "cluster": to,
                    }),
                };
                format!("body={}\n", json_word(&body))
            }
        }
    }

    fn wanted(&self) -> String {
        format!("want={}\n", json_word(&json!(self.parsed.change.wanted())))
    }

    fn captured(&self) -> String {
        match &self.parsed.captured {
            Some(settings) => format!("captured={}\n", json_word(&Value::Object(settings.clone()))),
            None => format!("captured=$(cat {}) || exit 1\n", self.file()),
        }
    }

    /// The file of a capture. Its name is the same in every version, so that a later version finds it.
    fn file(&self) -> String {
        let resource = &self.parsed.resource;
        format!(
            "./{}-step-{}-{}-{}.captured.json",
            self.context.step.incident_id,
            self.context.number,
            resource.noun(),
            resource.id()
        )
    }
}

/// The number of tasks in one page of jobs/get.
const PAGE: usize = 100;

/// The command that sets `state` to the result of a program over the wanted, captured and live settings.
fn compare(program: &str) -> String {
    format!("state=$(printf '%s\\n' \"$want\" \"$captured\" \"$live\" | jq -n -a -c '\n{program}') || exit 1\n")
}

/// The value of `fields_to_remove`: fields and job clusters that an update alone would keep.
fn removed(from: &Map<String, Value>, to: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = from.keys().filter(|name| !to.contains_key(*name)).cloned().collect();
    let clusters = |settings: &Map<String, Value>| -> Vec<String> {
        let clusters = settings.get("job_clusters").and_then(Value::as_array).into_iter().flatten();
        clusters.filter_map(|cluster| cluster.get("job_cluster_key")?.as_str()).map(str::to_owned).collect()
    };
    if to.contains_key("job_clusters") {
        let kept = clusters(to);
        names.extend(
            clusters(from).into_iter().filter(|key| !kept.contains(key)).map(|key| format!("job_clusters/{key}")),
        );
    }
    names
}
