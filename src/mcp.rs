//! The agent's way in: an MCP server over standard input and output, or over HTTP.
//!
//! - [`server`] answers what a client asks: it knows the tools, resources and prompts, and holds the lake
//! - [`tools`] lists the tools: names, hints, schemas, and what each calls
//! - [`recording`] takes what is written, [`reading`] answers what is asked
//! - [`following`] works out what comes of what was recorded, for many agents at once
//! - [`answer`] is what a tool says, or why it could not
//! - [`resources`] and [`prompts`] are for people and clients that browse
//! - [`pagerduty`] takes what people do in PagerDuty
//! - [`http`] is the way in over HTTP: who may come in, and how much they may send
//!
//! Tools take the requests of the command line. Standard output belongs to the protocol.

mod answer;
mod following;
pub mod http;
mod pagerduty;
mod prompts;
mod reading;
mod recording;
mod resources;
pub mod server;
mod tools;

use std::time::Duration;

use rmcp::ServiceExt;
use tokio_util::sync::CancellationToken;

use server::Server;

/// How long what is under way may take when the server is told to stop.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Serves one client on standard input and output, until it goes away or `stop` says so.
///
/// # Errors
/// What the client got wrong before anything began.
pub async fn serve_stdio(server: Server, stop: CancellationToken) -> Result<(), std::io::Error> {
    let failed = |error: String| std::io::Error::other(error);
    let running = server.clone().serve_with_ct(rmcp::transport::stdio(), stop).await;
    let running = match running {
        Ok(running) => running,
        // A client that leaves before it has said anything has done no harm.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    running.waiting().await.map_err(|error| failed(error.to_string()))?;
    server.settled(PATIENCE).await;
    Ok(())
}
