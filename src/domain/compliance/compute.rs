//! Rules about compute: job compute, cluster policies and runtimes.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    CheckedJob, RuleFix, RuleVerdict,
    job_settings::{JobTask, JobTasks, counted, list, named, object, text},
    reliability::of_job,
    remediation::{MAX_STEPS, by_task},
    runtimes::{RuntimeSupport, midnight, release, support},
};
use crate::domain::{policy::compliance::CompliancePolicy, settings::SettingChange, time::Timestamp};

/// Settings that are copied from an all-purpose cluster to a job cluster.
const COPIED_SETTINGS: [&str; 19] = [
    "autoscale",
    "aws_attributes",
    "azure_attributes",
    "cluster_log_conf",
    "custom_tags",
    "data_security_mode",
    "driver_instance_pool_id",
    "driver_node_type_id",
    "enable_elastic_disk",
    "gcp_attributes",
    "init_scripts",
    "instance_pool_id",
    "node_type_id",
    "num_workers",
    "policy_id",
    "runtime_engine",
    "spark_conf",
    "spark_env_vars",
    "spark_version",
];

/// Settings of a cluster with its name.
struct NamedCluster<'a> {
    /// Name for people.
    name: String,
    settings: &'a Map<String, Value>,
}

/// Returns the clusters that a job creates, and the number of invalid ones.
fn own_clusters<'a>(subject: &CheckedJob<'a>, tasks: &JobTasks<'a>) -> (Vec<NamedCluster<'a>>, usize) {
    let (mut clusters, mut unclear) = (Vec::new(), 0);
    match list(subject.settings, "job_clusters") {
        Err(_) => unclear += 1,
        Ok(shared) => {
            for entry in shared {
                let cluster = entry.as_object().and_then(|entry| {
                    let key = text(entry, "job_cluster_key").ok().flatten()?;
                    Some(NamedCluster { name: named([key]), settings: object(entry, "new_cluster").ok().flatten()? })
                });
                match cluster {
                    Some(cluster) => clusters.push(cluster),
                    None => unclear += 1,
                }
            }
        }
    }
    for task in &tasks.working {
        match object(task.settings, "new_cluster") {
            Ok(Some(settings)) => {
                clusters.push(NamedCluster { name: format!("of task {}", named([task.key])), settings })
            }
            Ok(None) => {}
            Err(_) => unclear += 1,
        }
    }
    (clusters, unclear)
}

/// JobTasks on all-purpose clusters, with the clusters' ids.
pub fn on_shared<'a>(tasks: &JobTasks<'a>) -> Vec<(JobTask<'a>, &'a str)> {
    let id = |task: &JobTask<'a>| text(task.settings, "existing_cluster_id").ok().flatten();
    tasks.working.iter().filter_map(|task| Some((*task, id(task)?))).collect()
}

/// Checks that no task runs on an all-purpose cluster.
pub fn job_compute(subject: &CheckedJob<'_>, tasks: &JobTasks<'_>) -> RuleVerdict {
    let shared = on_shared(tasks);
    if shared.is_empty() {
        return match &tasks.unclear {
            Some(why) => RuleVerdict::Partial(why.clone()),
            None => RuleVerdict::Pass("no task runs on an all-purpose cluster".into()),
        };
    }
    let text = format!(
        "{} of {} on an all-purpose cluster: {}",
        shared.len(),
        counted(tasks.working.len(), "task"),
        named(shared.iter().map(|(task, _)| task.key))
    );
    let hand = || RuleFix::ByHand("use serverless compute or a job cluster with a policy for the tasks".into());
    RuleVerdict::Fail(text, job_cluster_copies(subject, &shared).map_or_else(hand, RuleFix::Settings))
}

/// Returns the changes that replace the all-purpose clusters by equal job clusters. `None` if one of them could not be read
/// or there are too many.
fn job_cluster_copies(subject: &CheckedJob<'_>, shared: &[(JobTask<'_>, &str)]) -> Option<Vec<SettingChange>> {
    let mut clusters = list(subject.settings, "job_clusters").ok()?.to_vec();
    let mut changes = Vec::new();
    let mut ids: Vec<&str> = shared.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_STEPS {
        return None;
    }
    for id in ids {
        let read = subject.clusters.get(id)?;
        let spec = object(read, "spec").ok().flatten().unwrap_or(read);
        let copy: Map<String, Value> =
            COPIED_SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), spec.get(*name)?.clone()))).collect();
        text(&copy, "spark_version").ok().flatten()?;
        let taken = |key: &str| clusters.iter().any(|one| one.get("job_cluster_key").is_some_and(|known| known == key));
        let key = std::iter::once(format!("like-{id}"))
            .chain((2..).map(|n| format!("like-{id}-{n}")))
            .find(|key| !taken(key))?;
        clusters.push(json!({ "job_cluster_key": key, "new_cluster": copy }));
        let moved = Map::from_iter([
            ("existing_cluster_id".to_owned(), Value::Null),
            ("job_cluster_key".to_owned(), json!(key)),
        ]);
        let on_it = shared.iter().filter(|(_, on)| *on == id);
        for mut change in by_task(on_it.map(|(task, _)| (task.key, task.change(moved.clone())))) {
            change.fields = Map::from_iter([("job_clusters".to_owned(), Value::Array(clusters.clone()))]);
            changes.push(change);
        }
    }
    Some(changes)
}

/// Checks that every runtime is supported, now and for the configured number of days.
pub fn runtime(
    subject: &CheckedJob<'_>,
    tasks: &JobTasks<'_>,
    comply: &CompliancePolicy,
    now: Timestamp,
) -> RuleVerdict {
    let (mut clusters, unclear) = own_clusters(subject, tasks);
    let mut unknown: Vec<String> = tasks.unclear.iter().cloned().collect();
    if unclear > 0 {
        unknown.push(format!("{} with unexpected settings", counted(unclear, "cluster")));
    }
    let mut ids: Vec<&str> = on_shared(tasks).into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        match subject.clusters.get(id) {
            Some(settings) => clusters.push(NamedCluster { name: format!("all-purpose {}", named([id])), settings }),
            None => unknown.push(format!("the all-purpose cluster {} could not be read", named([id]))),
        }
    }
    let mut ended = Vec::new();
    for cluster in &clusters {
        match text(cluster.settings, "spark_version") {
            Ok(Some(version)) => match end_of_support(version, comply, now) {
                EndOfSupport::Reached(why) => ended.push(format!("{} ({} {why})", cluster.name, named([version]))),
                EndOfSupport::NotReached => {}
                EndOfSupport::Unknown => {
                    unknown.push(format!("the end of support of {} is not known", named([version])))
                }
            },
            _ => unknown.push(format!("the runtime of cluster {} is unknown", cluster.name)),
        }
    }
    if ended.is_empty() {
        unknown.truncate(4);
        return match (unknown.is_empty(), clusters.len()) {
            (false, _) => RuleVerdict::Partial(unknown.join("; ")),
            (true, 0) => RuleVerdict::Pass("the job uses no clusters; the platform chooses the runtime".into()),
            (true, count) => RuleVerdict::Pass(format!("every runtime is supported ({})", counted(count, "cluster"))),
        };
    }
    let more = ended.len().saturating_sub(4);
    ended.truncate(4);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let text = format!("out of support: {}{more}", ended.join(", "));
    let newer = |settings: &Map<String, Value>| {
        let version = text_of(settings, "spark_version")?;
        matches!(end_of_support(version, comply, now), EndOfSupport::Reached(_)).then_some(())?;
        let rest = version.strip_prefix(release(version)?)?;
        let mut new = settings.clone();
        new.insert("spark_version".into(), format!("{}{rest}", comply.runtime).into());
        Some(new)
    };
    let changes = edited(subject, tasks, newer);
    let fix = if changes.is_empty() {
        RuleFix::ByHand(format!("use a supported runtime for the all-purpose cluster, such as {}", comply.runtime))
    } else {
        RuleFix::Settings(changes)
    };
    RuleVerdict::Fail(text, fix)
}

fn text_of<'a>(settings: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    text(settings, name).ok().flatten()
}

/// Whether the support of a runtime ends in the checked period.
enum EndOfSupport {
    Reached(String),
    NotReached,
    Unknown,
}

fn end_of_support(version: &str, comply: &CompliancePolicy, now: Timestamp) -> EndOfSupport {
    let from = now.plus(TimeDelta::days(comply.runtime_days_ahead.into()));
    match support(version) {
        RuntimeSupport::Ends(day) if midnight(day) <= from => EndOfSupport::Reached(format!("until {day}")),
        RuntimeSupport::EndedBefore(day) if midnight(day) <= from => {
            EndOfSupport::Reached(format!("until before {day}"))
        }
        RuntimeSupport::Ends(_) | RuntimeSupport::NoEnd => EndOfSupport::NotReached,
        RuntimeSupport::EndedBefore(_) | RuntimeSupport::Unknown => EndOfSupport::Unknown,
    }
}

/// Checks that every cluster that the job creates uses a policy.
pub fn cluster_policy(subject: &CheckedJob<'_>, tasks: &JobTasks<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    let (clusters, unclear) = own_clusters(subject, tasks);
    let has_no_policy = |settings: &Map<String, Value>| text(settings, "policy_id").map(|policy| policy.is_none());
    let without: Vec<&str> = clusters
        .iter()
        .filter(|cluster| has_no_policy(cluster.settings) == Ok(true))
        .map(|cluster| cluster.name.as_str())
        .collect();
    let invalid = unclear + clusters.iter().filter(|cluster| has_no_policy(cluster.settings).is_err()).count();
    if without.is_empty() {
        return match (invalid, &tasks.unclear, clusters.len()) {
            (0, None, 0) => RuleVerdict::Pass("the job creates no clusters".into()),
            (0, None, count) => {
                RuleVerdict::Pass(format!("every cluster uses a policy ({})", counted(count, "cluster")))
            }
            (0, Some(why), _) => RuleVerdict::Partial(why.clone()),
            (invalid, ..) => RuleVerdict::Partial(format!("{} with unexpected settings", counted(invalid, "cluster"))),
        };
    }
    let shown = without.iter().take(4).copied().collect::<Vec<_>>().join(", ");
    let text = format!("{} of {} without a policy: {shown}", without.len(), counted(clusters.len(), "cluster"));
    let Some(policy) = comply.policy_id.as_deref() else {
        return RuleVerdict::Fail(
            text,
            RuleFix::ByHand("set policy_id of the clusters to a policy of the workspace".into()),
        );
    };
    let with_policy = |settings: &Map<String, Value>| {
        (has_no_policy(settings) == Ok(true)).then(|| {
            let mut new = settings.clone();
            new.insert("policy_id".into(), policy.into());
            new
        })
    };
    RuleVerdict::Fail(text, RuleFix::Settings(edited(subject, tasks, with_policy)))
}

/// Returns the changes that replace each cluster for which `edit` returns new settings.
fn edited(
    subject: &CheckedJob<'_>,
    tasks: &JobTasks<'_>,
    edit: impl Fn(&Map<String, Value>) -> Option<Map<String, Value>>,
) -> Vec<SettingChange> {
    let mut changes = Vec::new();
    let mut shared = list(subject.settings, "job_clusters").unwrap_or_default().to_vec();
    let mut touched = false;
    for entry in shared.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(new) = object(entry, "new_cluster").ok().flatten().and_then(&edit) {
            entry.insert("new_cluster".into(), Value::Object(new));
            touched = true;
        }
    }
    if touched && let RuleFix::Settings(all) = of_job("job_clusters", Value::Array(shared)) {
        changes.extend(all);
    }
    let of_tasks = tasks.working.iter().filter_map(|task| {
        let new = object(task.settings, "new_cluster").ok().flatten().and_then(&edit)?;
        Some((task.key, task.change(Map::from_iter([("new_cluster".to_owned(), Value::Object(new))]))))
    });
    changes.extend(by_task(of_tasks));
    changes
}
