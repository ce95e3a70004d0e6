//! The start of every block, and its calls of the workspace's API.

use url::Url;

use super::{RunbookTool, jq};

/// The tool and the workspace of a runbook's blocks.
pub struct Shell {
    pub tool: RunbookTool,
    /// The address of the incident's workspace, from [`origin`].
    pub workspace: Option<String>,
}

/// `https://host` of a recorded address; `None` if it is not an HTTP address.
pub fn origin(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let origin = url.origin().ascii_serialization();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-[]_".contains(&byte);
    origin.bytes().all(plain).then_some(origin)
}

const CURL: &str = r#": "${DATABRICKS_TOKEN:?set it to your token}"
call() { # METHOD PATH OPTION...; the token is on no command line
  local answer
  answer=$(curl --silent --show-error --fail-with-body --proto-default https --request "$1" \
    --header @<(printf 'Authorization: Bearer %s\n' "$DATABRICKS_TOKEN") "${@:3}" "${DATABRICKS_HOST%/}$2") || {
    printf '%s\n' "$answer" | jq -aR . >&2
    return 1
  }
  printf '%s\n' "$answer"
}
"#;

const CURL_GET: &str = "get() { call GET \"$1\"; }\n";
const CURL_POST: &str = "post() { call POST \"$1\" --header 'Content-Type: application/json' --data-binary @-; } # the body on standard input\n";
const CLI_GET: &str = "get() { databricks api get \"$1\"; }\n";
const CLI_POST: &str =
    "post() { databricks api post \"$1\" --json @/dev/stdin; } # raw JSON keeps settings that the CLI does not know\n";

/// The API calls that a block makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiCalls {
    Neither,
    Get,
    Post,
    Both,
}

impl Shell {
    /// Returns a block: the workspace check, the call functions, then `body`, which reads with `get PATH` and writes with
    /// `post PATH`.
    pub fn block(&self, calls: ApiCalls, body: &str) -> String {
        let mut lines = String::from(": \"${DATABRICKS_HOST:?set it to the address of the workspace}\"\n");
        if let Some(workspace) = &self.workspace {
            lines.push_str(&format!(
                "if [ \"${{DATABRICKS_HOST%/}}\" != '{workspace}' ]; then\n  \
                   echo 'stop: DATABRICKS_HOST is not the workspace of this incident' >&2\n  \
                   exit 1\n\
                 fi\n"
            ));
        }
        lines.push_str("export DATABRICKS_HOST\n");
        let (common, get, post) = match self.tool {
            RunbookTool::Cli => ("", CLI_GET, CLI_POST),
            RunbookTool::Curl => (CURL, CURL_GET, CURL_POST),
        };
        lines.push_str(if calls == ApiCalls::Neither { "" } else { common });
        lines.push_str(if matches!(calls, ApiCalls::Get | ApiCalls::Both) { get } else { "" });
        lines.push_str(if matches!(calls, ApiCalls::Post | ApiCalls::Both) { post } else { "" });
        lines.push_str(body);
        subshell(&lines)
    }

    /// Checks that the tool keeps all digits of this id in JSON.
    pub fn supports_id(&self, id: u64) -> Result<(), &'static str> {
        match self.tool {
            RunbookTool::Cli if id > 1 << 53 => {
                Err("the databricks command line rounds ids beyond 2^53; use the runbook made with --with curl")
            }
            _ => Ok(()),
        }
    }

    /// Returns a block that starts one run of a job. Pasting it again starts no second run.
    pub fn run_now(&self, job: u64, token: &str) -> String {
        match self.tool {
            RunbookTool::Cli => self.block(
                ApiCalls::Neither,
                &format!("databricks jobs run-now {job} --idempotency-token {token} --no-wait\n"),
            ),
            RunbookTool::Curl => self.block(
                ApiCalls::Post,
                &format!(
                    "printf '{{\"job_id\":{job},\"idempotency_token\":\"{token}\"}}' | post /api/2.2/jobs/run-now\n"
                ),
            ),
        }
    }

    /// Returns a block that prints the newest three runs of a job and their results.
    pub fn newest_runs(&self, job: u64) -> String {
        let body = format!(
            "runs=$(get '/api/2.2/jobs/runs/list?job_id={job}&limit=3') || exit 1\n\
             printf '%s\\n' \"$runs\" | jq -a -c '{}'\n",
            jq::RUNS
        );
        self.block(ApiCalls::Get, &body)
    }
}

fn subshell(lines: &str) -> String {
    let mut block = String::from("(\n  set -euo pipefail\n");
    for line in lines.lines() {
        if !line.is_empty() {
            block.push_str("  ");
            block.push_str(line);
            block.push('\n');
        }
    }
    block.push_str(")\n");
    block
}
