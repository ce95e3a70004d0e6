//! The catalogue of preventive actions and policy templates.
//!
//! YAML snippets belong in a bundle's resource file, with the name of the job replaced. A sweep rule is a read-only command that
//! prints violations, and nothing if there are none.

use serde_json::{Value, json};

use super::{PolicyTemplate, Surface, Topic};

/// An entry of the catalogue.
#[derive(Debug)]
pub struct Action {
    /// Stable name, stored in `preventive_actions.action`.
    pub name: &'static str,
    pub title: &'static str,
    pub surface: Surface,
    pub snippet: &'static str,
    pub topics: &'static [Topic],
}

/// All actions in the order of an alert.
pub const ACTIONS: &[Action] = &[
    Action {
        name: "bundle-retry-policy",
        title: "Give every task a retry policy and a timeout in the job definition",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      tasks:
        - task_key: my_task
          max_retries: 3
          min_retry_interval_millis: 120000
          retry_on_timeout: true
          timeout_seconds: 3600",
        topics: &[Topic::Retries],
    },
    Action {
        name: "check-retries-before-deploy",
        title: "Fail the deployment of a job with a task that has max_retries < 1 and no timeout",
        surface: Surface::BundleYaml,
        snippet: "\
databricks bundle validate -o json \\
  | jq -e '[.resources.jobs[]?.tasks[]? | select((.max_retries // 0) == 0 and (.timeout_seconds // 0) == 0)] == []'",
        topics: &[Topic::Retries],
    },
    Action {
        name: "sweep-retry-policy",
        title: "List the jobs with tasks that have no retry policy",
        surface: Surface::SweepRule,
        snippet: "\
databricks jobs list --expand-tasks -o json \\
  | jq -r '.[] | select(any(.settings.tasks[]?; (.max_retries // 0) == 0)) | [.job_id, .settings.name] | @tsv'",
        topics: &[Topic::Retries],
    },
    Action {
        name: "bundle-timeouts",
        title: "Give the job and its tasks a timeout",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      timeout_seconds: 7200
      tasks:
        - task_key: my_task
          timeout_seconds: 3600",
        topics: &[Topic::Timeouts],
    },
    Action {
        name: "health-duration",
        title: "Warn when a run takes longer than it should",
        surface: Surface::HealthRule,
        snippet: "\
resources:
  jobs:
    my_job:
      health:
        rules:
          - metric: RUN_DURATION_SECONDS
            op: GREATER_THAN
            value: 3600
      email_notifications:
        on_duration_warning_threshold_exceeded:
          - team@example.test",
        topics: &[Topic::Timeouts, Topic::Memory, Topic::Data, Topic::Generic],
    },
    Action {
        name: "sweep-timeouts",
        title: "List the jobs with tasks that may run without end",
        surface: Surface::SweepRule,
        snippet: "\
databricks jobs list --expand-tasks -o json \\
  | jq -r '.[] | select((.settings.timeout_seconds // 0) == 0 and any(.settings.tasks[]?; (.timeout_seconds // 0) == 0)) | [.job_id, .settings.name] | @tsv'",
        topics: &[Topic::Timeouts],
    },
    Action {
        name: "bundle-larger-workers",
        title: "Run the job on workers with more memory, with autoscaling",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      job_clusters:
        - job_cluster_key: main
          new_cluster:
            spark_version: ${var.supported_spark_version}
            node_type_id: ${var.memory_optimised_node_type}
            autoscale:
              min_workers: 2
              max_workers: 8",
        topics: &[Topic::Memory],
    },
    Action {
        name: "bundle-run-as-service-principal",
        title: "Run the job as a service principal instead of with a personal token",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      run_as:
        service_principal_name: ${var.job_service_principal}
      permissions:
        - level: CAN_VIEW
          group_name: on-call",
        topics: &[Topic::Access],
    },
    Action {
        name: "sweep-expiring-tokens",
        title: "List the tokens that expire within 14 days",
        surface: Surface::SweepRule,
        snippet: "\
databricks tokens list -o json \\
  | jq -r '.[] | select(.expiry_time > 0 and .expiry_time / 1000 < now + 14 * 86400) | [.token_id, (.expiry_time / 1000 | floor | todate), .comment] | @tsv'",
        topics: &[Topic::Access],
    },
    Action {
        name: "bundle-retry-interval",
        title: "Wait longer between retries of the task that calls the external system",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      tasks:
        - task_key: my_task
          max_retries: 5
          min_retry_interval_millis: 600000
          retry_on_timeout: true",
        topics: &[Topic::Upstream],
    },
    Action {
        name: "bundle-queue",
        title: "Queue runs instead of skipping them, and run one at a time",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      max_concurrent_runs: 1
      queue:
        enabled: true",
        topics: &[Topic::Concurrency, Topic::Upstream],
    },
    Action {
        name: "sweep-queue",
        title: "List the jobs whose runs are skipped when another one is active",
        surface: Surface::SweepRule,
        snippet: "\
databricks jobs list --expand-tasks -o json \\
  | jq -r '.[] | select(.settings.queue.enabled != true) | [.job_id, .settings.name] | @tsv'",
        topics: &[Topic::Concurrency],
    },
    Action {
        name: "bundle-check-input",
        title: "Check the input in a separate task before data is written",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      tasks:
        - task_key: check_input
          notebook_task:
            notebook_path: ../src/check_input.py
        - task_key: my_task
          depends_on:
            - task_key: check_input
          run_if: ALL_SUCCESS",
        topics: &[Topic::Schema, Topic::Data],
    },
    Action {
        name: "bundle-file-arrival",
        title: "Start the job when its files have arrived, not at a fixed hour",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      trigger:
        pause_status: UNPAUSED
        file_arrival:
          url: /Volumes/main/landing/files/
          min_time_between_triggers_seconds: 300
          wait_after_last_change_seconds: 120",
        topics: &[Topic::Data],
    },
    Action {
        name: "bundle-supported-runtime",
        title: "Name a long-term supported runtime, and pin the libraries",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      job_clusters:
        - job_cluster_key: main
          new_cluster:
            spark_version: ${var.supported_spark_version}
      environments:
        - environment_key: default
          spec:
            environment_version: \"4\"
            dependencies:
              - my-library==1.2.3",
        topics: &[Topic::Runtime],
    },
    Action {
        name: "sweep-runtimes",
        title: "List the compute by runtime version, the oldest first",
        surface: Surface::SweepRule,
        snippet: "\
databricks clusters list -o json \\
  | jq -r '[.[] | {v: .spark_version, n: .cluster_name}] | sort_by(.v | split(\"[^0-9]+\"; null) | map(tonumber? // 0)) | .[] | [.v, .n] | @tsv'",
        topics: &[Topic::Runtime],
    },
    Action {
        name: "bundle-serverless",
        title: "Run the job on serverless compute, which needs no reserved capacity",
        surface: Surface::BundleYaml,
        snippet: "\
resources:
  jobs:
    my_job:
      tasks:
        - task_key: my_task
          spark_python_task:
            python_file: ../src/main.py
          environment_key: default
      environments:
        - environment_key: default
          spec:
            environment_version: \"4\"",
        topics: &[Topic::Capacity],
    },
    Action {
        name: "policy-instance-pool",
        title: "Start job clusters from a pool with idle instances",
        surface: Surface::ClusterPolicy,
        snippet: r#"{ "instance_pool_id": { "type": "fixed", "value": "POOL_ID", "hidden": false } }"#,
        topics: &[Topic::Capacity],
    },
    Action {
        name: "policy-autotermination",
        title: "Stop idle compute automatically",
        surface: Surface::ClusterPolicy,
        snippet: r#"{ "autotermination_minutes": { "type": "range", "minValue": 10, "maxValue": 120, "defaultValue": 30 } }"#,
        topics: &[Topic::IdleCompute],
    },
    Action {
        name: "sweep-autotermination",
        title: "List the compute without automatic termination",
        surface: Surface::SweepRule,
        snippet: "\
databricks clusters list -o json \\
  | jq -r '.[] | select(.cluster_source != \"JOB\" and (.autotermination_minutes // 0) == 0) | [.cluster_id, .cluster_name] | @tsv'",
        topics: &[Topic::IdleCompute],
    },
    Action {
        name: "notify-on-failure",
        title: "Notify the team of the job of every failed run",
        surface: Surface::HealthRule,
        snippet: "\
resources:
  jobs:
    my_job:
      email_notifications:
        on_failure:
          - team@example.test
      notification_settings:
        no_alert_for_canceled_runs: true",
        topics: &[Topic::Access, Topic::Upstream, Topic::Schema, Topic::Capacity, Topic::Generic],
    },
    Action {
        name: "sweep-failures",
        title: "List the runs that ended without success in the last day",
        surface: Surface::SweepRule,
        snippet: "\
databricks jobs list-runs --completed-only -o json --start-time-from \"$(( ($(date +%s) - 86400) * 1000 ))\" \\
  | jq -r '.[] | (.status.termination_details.code // .state.result_state) as $code | select($code != \"SUCCESS\") | [.job_id, .run_id, .run_name, $code] | @tsv'",
        topics: &[Topic::Memory, Topic::Schema, Topic::Generic],
    },
];

/// Returns the policy template for a topic.
pub fn policy_template(topic: Topic) -> PolicyTemplate {
    let task_fields = |definition| template(Surface::JobSettings, "fields of each task", definition);
    let job_fields = |definition| template(Surface::JobSettings, "fields of the job", definition);
    let cluster = |definition| template(Surface::ClusterPolicy, "definition", definition);
    match topic {
        Topic::Retries => task_fields(json!({
            "max_retries": 3, "min_retry_interval_millis": 120_000, "retry_on_timeout": true, "timeout_seconds": 3600
        })),
        Topic::Timeouts => task_fields(json!({ "timeout_seconds": 3600, "retry_on_timeout": false })),
        Topic::Upstream => task_fields(json!({
            "max_retries": 5, "min_retry_interval_millis": 600_000, "retry_on_timeout": true
        })),
        Topic::Concurrency => job_fields(json!({ "max_concurrent_runs": 1, "queue": { "enabled": true } })),
        Topic::Access => job_fields(json!({ "run_as": { "service_principal_name": "APPLICATION_ID" } })),
        Topic::Data => job_fields(json!({
            "trigger": { "pause_status": "UNPAUSED", "file_arrival": {
                "url": "/Volumes/main/landing/files/", "min_time_between_triggers_seconds": 300,
                "wait_after_last_change_seconds": 120
            } }
        })),
        Topic::Memory => cluster(json!({
            "autoscale.min_workers": { "type": "range", "minValue": 2, "defaultValue": 2 },
            "autoscale.max_workers": { "type": "range", "minValue": 4, "maxValue": 16, "defaultValue": 8 }
        })),
        Topic::Runtime => cluster(json!({
            "spark_version": { "type": "allowlist", "values": ["auto:latest-lts", "auto:latest-lts-ml"],
                               "defaultValue": "auto:latest-lts" }
        })),
        Topic::Capacity => cluster(json!({ "instance_pool_id": { "type": "fixed", "value": "POOL_ID" } })),
        Topic::IdleCompute => cluster(json!({
            "autotermination_minutes": { "type": "range", "minValue": 10, "maxValue": 120, "defaultValue": 30 }
        })),
        Topic::Schema | Topic::Generic => template(
            Surface::HealthRule,
            "fields of the job",
            json!({
                "health": { "rules": [{ "metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600 }] },
                "email_notifications": {
                    "on_failure": ["team@example.test"],
                    "on_duration_warning_threshold_exceeded": ["team@example.test"]
                }
            }),
        ),
    }
}

fn template(surface: Surface, part: &str, definition: Value) -> PolicyTemplate {
    PolicyTemplate { surface, part: part.into(), definition }
}
