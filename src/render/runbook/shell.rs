//! What every block begins with, and how it reaches the workspace.

use url::Url;

use super::{Tool, jq};

/// How the blocks of a runbook reach the workspace.
pub struct Shell {
    pub tool: Tool,
    /// The address of the incident's workspace, from [`origin`].
    pub workspace: Option<String>,
}

/// `https://host` of a recorded address; `None` when it is none.
pub fn origin(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let origin = url.origin().ascii_serialization();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-[]_".contains(&byte);
    origin.bytes().all(plain).then_some(origin)
}

const CURL: &str = r#": "${DATABRICKS_TOKEN:?set it to a token of yours}"
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
    "post() { databricks api post \"$1\" --json @/dev/stdin; } # raw, so that no setting it does not know gets lost\n";

/// Which calls a block makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Neither,
    Get,
    Post,
    Both,
}

impl Shell {
    /// A block: the workspace, the calls, then `body`, which reads with `get PATH` and writes with `post PATH`.
    pub fn block(&self, calls: Calls, body: &str) -> String {
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
            Tool::Cli => ("", CLI_GET, CLI_POST),
            Tool::Curl => (CURL, CURL_GET, CURL_POST),
        };
        lines.push_str(if calls == Calls::Neither { "" } else { common });
        lines.push_str(if matches!(calls, Calls::Get | Calls::Both) { get } else { "" });
        lines.push_str(if matches!(calls, Calls::Post | Calls::Both) { post } else { "" });
        lines.push_str(body);
        subshell(&lines)
    }

    /// Whether the tool writes this number into JSON digit by digit.
    pub fn can_say(&self, id: u64) -> Result<(), &'static str> {
        match self.tool {
            Tool::Cli if id > 1 << 53 => {
                Err("the databricks command line rounds ids beyond 2^53; use the runbook made with --with curl")
            }
            _ => Ok(()),
        }
    }

    /// Starts one run of a job, once, however often it is pasted.
    pub fn run_now(&self, job: u64, token: &str) -> String {
        match self.tool {
            Tool::Cli => self.block(
                Calls::Neither,
                &format!("databricks jobs run-now {job} --idempotency-token {token} --no-wait\n"),
            ),
            Tool::Curl => self.block(
                Calls::Post,
                &format!(
                    "printf '{{\"job_id\":{job},\"idempotency_token\":\"{token}\"}}' | post /api/2.2/jobs/run-now\n"
                ),
            ),
        }
    }

    /// The newest three runs of a job and how they ended.
    pub fn newest_runs(&self, job: u64) -> String {
        let body = format!(
            "runs=$(get '/api/2.2/jobs/runs/list?job_id={job}&limit=3') || exit 1\n\
             printf '%s\\n' \"$runs\" | jq -a -c '{}'\n",
            jq::RUNS
        );
        self.block(Calls::Get, &body)
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
