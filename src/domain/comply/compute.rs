//! What a job runs on.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    Fix, Subject, Verdict,
    fix::{MAX_STEPS, by_task},
    reliability::of_job,
    runtimes::{Support, midnight, release, support},
    shape::{Task, Tasks, counted, list, named, object, text},
};
use crate::domain::{policy::comply::Comply, settings::Change, time::Timestamp};

/// Settings of an all-purpose cluster that a job cluster has, too.
const KEPT: [&str; 19] = [
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

/// A cluster that a job makes for its runs.
struct Cluster<'a> {
    /// For people.
    name: String,
    settings: &'a Map<String, Value>,
}

/// The clusters that a job makes, and how many could not be understood.
fn own_clusters<'a>(subject: &Subject<'a>, tasks: &Tasks<'a>) -> (Vec<Cluster<'a>>, usize) {
    let (mut clusters, mut unclear) = (Vec::new(), 0);
    match list(subject.settings, "job_clusters") {
        Err(_) => unclear += 1,
        Ok(shared) => {
            for entry in shared {
                let cluster = entry.as_object().and_then(|entry| {
                    let key = text(entry, "job_cluster_key").ok().flatten()?;
                    Some(Cluster { name: named([key]), settings: object(entry, "new_cluster").ok().flatten()? })
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
            Ok(Some(settings)) => clusters.push(Cluster { name: format!("of task {}", named([task.key])), settings }),
            Ok(None) => {}
            Err(_) => unclear += 1,
        }
    }
    (clusters, unclear)
}

/// Tasks on all-purpose clusters, with the clusters' ids.
pub fn on_shared<'a>(tasks: &Tasks<'a>) -> Vec<(Task<'a>, &'a str)> {
    let id = |task: &Task<'a>| text(task.settings, "existing_cluster_id").ok().flatten();
    tasks.working.iter().filter_map(|task| Some((*task, id(task)?))).collect()
}

/// No task runs on an all-purpose cluster.
pub fn job_compute(subject: &Subject<'_>, tasks: &Tasks<'_>) -> Verdict {
    let shared = on_shared(tasks);
    if shared.is_empty() {
        return match &tasks.unclear {
            Some(why) => Verdict::Partial(why.clone()),
            None => Verdict::Pass("no task runs on an all-purpose cluster".into()),
        };
    }
    let text = format!(
        "{} of {} on an all-purpose cluster: {}",
        shared.len(),
        counted(tasks.working.len(), "task"),
        named(shared.iter().map(|(task, _)| task.key))
    );
    let hand = || Fix::ByHand("give the tasks serverless compute, or a job cluster under a policy".into());
    Verdict::Fail(text, own_copies(subject, &shared).map_or_else(hand, Fix::Settings))
}

/// A job cluster like each of the all-purpose clusters. `None` when one of them could not be read, or there are many.
fn own_copies(subject: &Subject<'_>, shared: &[(Task<'_>, &str)]) -> Option<Vec<Change>> {
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
            KEPT.iter().filter_map(|name| Some(((*name).to_owned(), spec.get(*name)?.clone()))).collect();
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

/// Every runtime is supported, and goes on to be for the days that the configuration asks for.
pub fn runtime(subject: &Subject<'_>, tasks: &Tasks<'_>, comply: &Comply, now: Timestamp) -> Verdict {
    let (mut clusters, unclear) = own_clusters(subject, tasks);
    let mut unknown: Vec<String> = tasks.unclear.iter().cloned().collect();
    if unclear > 0 {
        unknown.push(format!("{} could not be understood", counted(unclear, "cluster")));
    }
    let mut ids: Vec<&str> = on_shared(tasks).into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        match subject.clusters.get(id) {
            Some(settings) => clusters.push(Cluster { name: format!("all-purpose {}", named([id])), settings }),
            None => unknown.push(format!("the all-purpose cluster {} could not be read", named([id]))),
        }
    }
    let mut ended = Vec::new();
    for cluster in &clusters {
        match text(cluster.settings, "spark_version") {
            Ok(Some(version)) => match is_ending(version, comply, now) {
                Ending::Yes(why) => ended.push(format!("{} ({} {why})", cluster.name, named([version]))),
                Ending::No => {}
                Ending::Unknown => unknown.push(format!("until when {} is supported is not known", named([version]))),
            },
            _ => unknown.push(format!("the runtime of cluster {} was not told", cluster.name)),
        }
    }
    if ended.is_empty() {
        unknown.truncate(4);
        return match (unknown.is_empty(), clusters.len()) {
            (false, _) => Verdict::Partial(unknown.join("; ")),
            (true, 0) => Verdict::Pass("the platform chooses the runtime".into()),
            (true, count) => Verdict::Pass(format!("every runtime is supported ({})", counted(count, "cluster"))),
        };
    }
    let more = ended.len().saturating_sub(4);
    ended.truncate(4);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let text = format!("out of support: {}{more}", ended.join(", "));
    let newer = |settings: &Map<String, Value>| {
        let version = text_of(settings, "spark_version")?;
        matches!(is_ending(version, comply, now), Ending::Yes(_)).then_some(())?;
        let rest = version.strip_prefix(release(version)?)?;
        let mut new = settings.clone();
        new.insert("spark_version".into(), format!("{}{rest}", comply.runtime).into());
        Some(new)
    };
    let changes = edited(subject, tasks, newer);
    let fix = if changes.is_empty() {
        Fix::ByHand(format!("give the all-purpose cluster a runtime that is supported, such as {}", comply.runtime))
    } else {
        Fix::Settings(changes)
    };
    Verdict::Fail(text, fix)
}

fn text_of<'a>(settings: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    text(settings, name).ok().flatten()
}

enum Ending {
    Yes(String),
    No,
    Unknown,
}

fn is_ending(version: &str, comply: &Comply, now: Timestamp) -> Ending {
    let from = now.plus(TimeDelta::days(comply.runtime_days_ahead.into()));
    match support(version) {
        Support::Ends(day) if midnight(day) <= from => Ending::Yes(format!("until {day}")),
        Support::EndedBefore(day) if midnight(day) <= from => Ending::Yes(format!("until before {day}")),
        Support::Ends(_) | Support::NoEnd => Ending::No,
        Support::EndedBefore(_) | Support::Unknown => Ending::Unknown,
    }
}

/// Every cluster that a job makes is under a policy.
pub fn cluster_policy(subject: &Subject<'_>, tasks: &Tasks<'_>, comply: &Comply) -> Verdict {
    let (clusters, unclear) = own_clusters(subject, tasks);
    let is_free = |settings: &Map<String, Value>| text(settings, "policy_id").map(|policy| policy.is_none());
    let free: Vec<&str> = clusters
        .iter()
        .filter(|cluster| is_free(cluster.settings) == Ok(true))
        .map(|cluster| cluster.name.as_str())
        .collect();
    let odd = unclear + clusters.iter().filter(|cluster| is_free(cluster.settings).is_err()).count();
    if free.is_empty() {
        return match (odd, &tasks.unclear, clusters.len()) {
            (0, None, 0) => Verdict::Pass("it makes no clusters".into()),
            (0, None, count) => {
                Verdict::Pass(format!("every cluster is under a policy ({})", counted(count, "cluster")))
            }
            (0, Some(why), _) => Verdict::Partial(why.clone()),
            (odd, ..) => Verdict::Partial(format!("{} could not be understood", counted(odd, "cluster"))),
        };
    }
    let shown = free.iter().take(4).copied().collect::<Vec<_>>().join(", ");
    let text = format!("{} of {} under no policy: {shown}", free.len(), counted(clusters.len(), "cluster"));
    let Some(policy) = comply.policy_id.as_deref() else {
        return Verdict::Fail(text, Fix::ByHand("set policy_id of the clusters to a policy of the workspace".into()));
    };
    let under = |settings: &Map<String, Value>| {
        (is_free(settings) == Ok(true)).then(|| {
            let mut new = settings.clone();
            new.insert("policy_id".into(), policy.into());
            new
        })
    };
    Verdict::Fail(text, Fix::Settings(edited(subject, tasks, under)))
}

/// The changes that put another cluster in the place of each for which `edit` gives one.
fn edited(
    subject: &Subject<'_>,
    tasks: &Tasks<'_>,
    edit: impl Fn(&Map<String, Value>) -> Option<Map<String, Value>>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut shared = list(subject.settings, "job_clusters").unwrap_or_default().to_vec();
    let mut touched = false;
    for entry in shared.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(new) = object(entry, "new_cluster").ok().flatten().and_then(&edit) {
            entry.insert("new_cluster".into(), Value::Object(new));
            touched = true;
        }
    }
    if touched && let Fix::Settings(all) = of_job("job_clusters", Value::Array(shared)) {
        changes.extend(all);
    }
    let of_tasks = tasks.working.iter().filter_map(|task| {
        let new = object(task.settings, "new_cluster").ok().flatten().and_then(&edit)?;
        Some((task.key, task.change(Map::from_iter([("new_cluster".to_owned(), Value::Object(new))]))))
    });
    changes.extend(by_task(of_tasks));
    changes
}
