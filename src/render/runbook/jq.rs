//! The jq programs of the blocks.
//!
//! Every value is an input document, never text of the program. No program holds a single quote, an exclamation mark except in
//! `!=`, or a feature that jq 1.6 lacks.

/// Tasks and job clusters by their keys, so that their order does not matter.
macro_rules! keyed {
    () => {
        r#"def keyed: (.tasks, .job_clusters | arrays) |= (map({key: (.task_key // .job_cluster_key), value: .}) | from_entries);
"#
    };
}

/// The wanted values, and the affected captured settings before and after the change.
macro_rules! plan {
    () => {
        concat!(
            keyed!(),
            r#"input as $want
| (input | with_entries(select(.key as $name | any($want[]; .[0][0] == $name))) | keyed) as $before
| (reduce $want[] as [$path, $value] ($before; setpath($path; $value))
   | delpaths([$want[] | select(.[1] == null) | .[0]]) | keyed) as $after
"#
        )
    };
}

/// The live settings, and their `differences` from the capture.
///
/// Empty and default values count as absent, because the platform fills them in.
macro_rules! facts {
    () => {
        r#"| def facts: [paths(scalars) as $path | {key: ($path | tojson), value: getpath($path)}
    | select(.value | IN(false, 0, "", "ALL_SUCCESS") | not)] | from_entries;
input as $live
| ($live | with_entries(select(.key as $name | any($want[]; .[0][0] == $name))) | keyed | facts) as $now
| ($before | facts) as $old | ($after | facts) as $new
| def differences: ($old + $now | keys_unsorted[]) as $fact | select($old[$fact] != $now[$fact]) | ($fact | fromjson) as $path
    | {setting: $path, captured: (try ($before | getpath($path)) catch null), now: $now[$fact]};
"#
    };
}

/// Wanted, captured, live → `"as captured"`, `"as changed"`, `"either"` if both hold, a reason to stop, or each difference from the capture.
pub const COMPARE: &str = concat!(
    plan!(),
    facts!(),
    r#"if $live.deployment.kind == "BUNDLE" then "a bundle deployed this job: change the bundle, or its next deploy undoes this"
  elif any($want[][0] | select(length == 3)[1]; . as $key | $before.tasks | has($key) | not) then "there is no such task"
  elif $now == $old and $now == $new then "either"
  elif $now == $old then "as captured"
  elif $now == $new then "as changed"
  else differences
  end"#
);

/// Wanted, captured, live → each difference from the capture.
pub const READ_BACK: &str = concat!(plan!(), facts!(), "differences");

/// Wanted, live → each setting with its live value, then whether all have the wanted value.
pub const VALIDATE: &str = r#"input as $want
| (input | (.tasks | arrays) |= (map({key: .task_key, value: .}) | from_entries)) as $live
| [$want[] as [$path, $value] | {setting: $path, expected: $value, now: ($live | getpath($path))}]
| .[], all(.[]; .expected == .now
    or (.expected | type) == "object" and (.now | type) == "object" and .now + .expected == .now)"#;

macro_rules! direction {
    () => {
        r#"| (if $back then [$after, $before] else [$before, $after] end) as [$from, $to]
"#
    };
}

/// Wanted, captured → the body of jobs/update without its `job_id`.
pub const JOB_BODY: &str = concat!(
    plan!(),
    direction!(),
    r#"| [$from | keys[] | select(. as $name | $to | has($name) | not)] as $fields
| [$from.job_clusters // {} | keys[] | select(. as $key | $to.job_clusters // {($key): 1} | has($key) | not)] as $clusters
| {new_settings: ($to | (.tasks, .job_clusters | objects) |= [.[]]),
   fields_to_remove: ($fields + ($clusters | map("job_clusters/" + .)))}"#
);

/// Wanted, captured → the body of clusters/update.
pub const CLUSTER_BODY: &str = concat!(
    plan!(),
    direction!(),
    r#"| {cluster_id: $id, update_mask: ($want | map(.[0][0]) | join(",")), cluster: $to}"#
);

/// Wanted, captured, live → the body of a warehouse edit, which replaces all editable settings.
pub const WAREHOUSE_BODY: &str = concat!(
    plan!(),
    direction!(),
    r#"| input
| {name, cluster_size, min_num_clusters, max_num_clusters, auto_stop_mins, instance_profile_arn, tags,
   spot_instance_policy, enable_photon, enable_serverless_compute, channel, warehouse_type}
| delpaths([$want[][0]]) | . + $to | with_entries(select(.value != null))"#
);

/// One page of jobs/get → the settings of a job of at most 100 tasks.
pub const JOB_PAGE: &str =
    r#"if .next_page_token then error("more than 100 tasks, and fewer were captured") else .settings end"#;

/// The pages of jobs/get → the settings of the job.
pub const JOB_PAGES: &str = r#". as $pages
| reduce ("tasks", "job_clusters", "environments", "parameters") as $name ($pages[0].settings;
    reduce ($pages[1:][].settings[$name] // [] | .[]) as $one (.;
      if any(.[$name][]?; . == $one) then . else .[$name] += [$one] end))"#;

/// Refuses a number that jq would round, because the settings could not be restored exactly.
pub const EXACT: &str =
    r#"if any(.. | numbers; fabs > 9007199254740991) then error("it holds a number too large for jq") else empty end"#;

/// The newest runs of a job, one line each; old and new spelling of their state.
pub const RUNS: &str = r#".runs[]? | {run_id, started: ((.start_time // 0) / 1000 | floor | todate),
  state: (.status.state // .state.life_cycle_state // "n/a"),
  result: (.status.termination_details.code // .state.result_state // "n/a"),
  message: (.status.termination_details.message // .state.state_message // "n/a")}"#;
