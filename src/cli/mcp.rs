//! `mcp`: serving agents.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use tokio::net::TcpListener;

use super::{
    commands::Outcome,
    exit::{Code, Failure},
    output::Output,
    signals, workspace,
};
use crate::{
    delivery::Secret,
    domain::{ids::Id, policy::Policy, redact::Redactor},
    lake::Lake,
    mcp::{
        self,
        http::{self, Doors, Token},
        server::Server,
    },
    render::plain,
};

#[derive(Debug, Args)]
pub struct McpArgs {
    /// Serve over HTTP there instead: an address such as 0.0.0.0:8765, or a port of this machine only
    #[arg(long, value_name = "ADDR", value_parser = http::address)]
    http: Option<SocketAddr>,
    /// The file with the token that clients must give as Authorization: Bearer TOKEN. The environment variable
    /// OPS_RUNBOOK_MCP_TOKEN may hold the token itself. At least 16 characters
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
    /// Ask for no token: a proxy in front of the server knows who may come in, and nobody comes past it
    #[arg(long, requires = "http", conflicts_with = "token_file")]
    behind_proxy: bool,
    /// A name that clients call the server by, such as ops.example.test; may be repeated. Those of this machine unless given
    #[arg(long, value_name = "HOST", requires = "http")]
    allow_host: Vec<String>,
    /// A browser origin that may call, such as https://inspector.example.test; may be repeated. None unless given
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    allow_origin: Vec<String>,
    /// Who acts when a call does not say, such as agent:databricks_mcp_agent; calls must say unless given
    #[arg(long = "as", value_name = "ACTOR")]
    acts_as: Option<Id>,
}

pub async fn run(args: &McpArgs, lake: Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let policy = Arc::clone(&lake.context.policy);
    let server = Server::new(lake, redactor.clone(), args.acts_as.clone());
    let stop = signals::stopping();
    let Some(address) = args.http else {
        mcp::serve_stdio(server, stop)
            .await
            .map_err(|source| Failure::Serve { what: "standard input".into(), source })?;
        return Ok(Code::Success);
    };
    let token = match args.behind_proxy {
        true => None,
        false => Some(token(args)?),
    };
    let pagerduty = pagerduty(&policy).await?;
    let failed = |source| Failure::Serve { what: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let (hosts, origins) = (hosts(args, bound), args.allow_origin.clone());
    let doors = Doors { token, hosts, origins, pagerduty };
    output.problem(&plain::line(&format!("serving MCP at http://{bound}/mcp")));
    http::serve(server, listener, doors, stop).await.map_err(failed)?;
    output.problem("stopped");
    Ok(Code::Success)
}

/// What PagerDuty signs with, of every channel that says where that is.
async fn pagerduty(policy: &Policy) -> Result<Vec<Secret>, Failure> {
    let secrets = workspace::secrets();
    let mut known = Vec::new();
    for reference in policy.channels.values().filter_map(|channel| channel.reach.webhook_secret.as_ref()) {
        known.push(secrets.read(reference).await.map_err(|why| Failure::Receivers(why.into()))?);
    }
    Ok(known)
}

/// Names of this machine, and the address itself; behind a proxy nobody knows what clients call it.
fn hosts(args: &McpArgs, bound: SocketAddr) -> Vec<String> {
    match args.allow_host.as_slice() {
        [] if args.behind_proxy => Vec::new(),
        [] => {
            ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter().chain([bound.ip().to_string()]).collect()
        }
        hosts => hosts.to_vec(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a token on the command line would be shown to everybody on the machine")]
fn token(args: &McpArgs) -> Result<Token, Failure> {
    let (what, text) = match &args.token_file {
        Some(file) => {
            let what = file.display().to_string();
            let text = fs::read_to_string(file).map_err(|source| Failure::Input { what: what.clone(), source })?;
            (what, text)
        }
        None => match std::env::var("OPS_RUNBOOK_MCP_TOKEN") {
            Ok(text) if !text.is_empty() => ("OPS_RUNBOOK_MCP_TOKEN".to_owned(), text),
            _ => return Err(Failure::NoToken),
        },
    };
    Token::new(&text).map_err(|reason| Failure::Unusable { what: format!("the token in {what}"), reason })
}
