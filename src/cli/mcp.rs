//! `mcp`: serves agents.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use tokio::net::TcpListener;

use super::{
    commands::CommandResult,
    exit::{CommandError, ExitStatus},
    output::Output,
    signals, workspace,
};
use crate::{
    channels::Secret,
    domain::{ids::Id, policy::Policy, redact::Redactor},
    lake::Lake,
    mcp::{
        self,
        http::{self, HttpAuthConfig, ServerToken},
        server::Server,
    },
    render::plain,
};

#[derive(Debug, Args)]
pub struct McpArgs {
    /// Serve over HTTP at this address, such as 0.0.0.0:8765; a port alone listens on this machine only
    #[arg(long, value_name = "ADDR", value_parser = http::address)]
    http: Option<SocketAddr>,
    /// File with the token that clients send as Authorization: Bearer TOKEN; at least 16 characters. The environment variable
    /// OPS_RUNBOOK_MCP_TOKEN can hold the token itself
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
    /// Require no token: a proxy authenticates the clients, and the server is reachable only through it
    #[arg(long, requires = "http", conflicts_with = "token_file")]
    behind_proxy: bool,
    /// Accepted Host header, such as ops.example.test; may be repeated [default: the names of this machine]
    #[arg(long, value_name = "HOST", requires = "http")]
    allow_host: Vec<String>,
    /// Accepted browser origin, such as https://inspector.example.test; may be repeated [default: none]
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    allow_origin: Vec<String>,
    /// Actor of calls that name none, such as agent:databricks_mcp_agent; without it every call must name its actor
    #[arg(long = "as", value_name = "ACTOR")]
    acts_as: Option<Id>,
}

pub async fn run(args: &McpArgs, lake: Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let policy = Arc::clone(&lake.context.policy);
    let server = Server::new(lake, redactor.clone(), args.acts_as.clone());
    let stop = signals::stopping();
    let Some(address) = args.http else {
        mcp::serve_stdio(server, stop)
            .await
            .map_err(|source| CommandError::Serve { what: "standard input".into(), source })?;
        return Ok(ExitStatus::Success);
    };
    let token = match args.behind_proxy {
        true => None,
        false => Some(token(args)?),
    };
    let pagerduty = pagerduty(&policy).await?;
    let failed = |source| CommandError::Serve { what: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let (hosts, origins) = (hosts(args, bound), args.allow_origin.clone());
    let auth = HttpAuthConfig { token, hosts, origins, pagerduty };
    output.problem(&plain::line(&format!("serving MCP at http://{bound}/mcp")));
    http::serve(server, listener, auth, stop).await.map_err(failed)?;
    output.problem("stopped");
    Ok(ExitStatus::Success)
}

/// Reads the webhook secrets of the PagerDuty channels.
async fn pagerduty(policy: &Policy) -> Result<Vec<Secret>, CommandError> {
    let secrets = workspace::secrets();
    let mut known = Vec::new();
    for reference in policy.channels.values().filter_map(|channel| channel.connection.webhook_secret.as_ref()) {
        known.push(secrets.read(reference).await.map_err(|why| CommandError::Receivers(why.into()))?);
    }
    Ok(known)
}

/// Returns the accepted hosts. Default: the names of this machine and the address; behind a proxy, any host.
fn hosts(args: &McpArgs, bound: SocketAddr) -> Vec<String> {
    match args.allow_host.as_slice() {
        [] if args.behind_proxy => Vec::new(),
        [] => {
            ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter().chain([bound.ip().to_string()]).collect()
        }
        hosts => hosts.to_vec(),
    }
}

#[expect(clippy::disallowed_methods, reason = "all users of a machine can read the arguments of a process")]
fn token(args: &McpArgs) -> Result<ServerToken, CommandError> {
    let (what, text) = match &args.token_file {
        Some(file) => {
            let what = file.display().to_string();
            let text = fs::read_to_string(file).map_err(|source| CommandError::Input { what: what.clone(), source })?;
            (what, text)
        }
        None => match std::env::var("OPS_RUNBOOK_MCP_TOKEN") {
            Ok(text) if !text.is_empty() => ("OPS_RUNBOOK_MCP_TOKEN".to_owned(), text),
            _ => return Err(CommandError::NoToken),
        },
    };
    ServerToken::new(&text).map_err(|reason| CommandError::Unusable { what: format!("the token in {what}"), reason })
}
