//! An MCP server for agents, over standard input and output or over HTTP.
//!
//! - [`server`] implements the protocol: tools, resources and prompts of one lake
//! - [`tools`] lists the tools: names, annotations, schemas, handlers
//! - [`record_tools`] has the tools that record requests, [`read_tools`] those that only read
//! - [`consequences`] projects recorded requests and evaluates alerts and recurrence, for many clients at once
//! - [`tool_output`] has the result of a tool call: content or an error
//! - [`resources`] and [`prompts`] are for people and for clients that browse
//! - [`pagerduty`] receives webhooks of PagerDuty
//! - [`http`] is the HTTP server: authentication and limits
//!
//! Tools take the same requests as the command line. Standard output is reserved for the protocol.

mod consequences;
pub mod http;
mod pagerduty;
mod prompts;
mod read_tools;
mod record_tools;
mod resources;
pub mod server;
mod tool_output;
mod tools;

use std::time::Duration;

use rmcp::ServiceExt;
use tokio_util::sync::CancellationToken;

use server::Server;

/// Time limit for running calls when the server stops.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves one client on standard input and output, until it disconnects or `stop` is cancelled.
///
/// # Errors
/// An error of the initialisation or of the connection.
pub async fn serve_stdio(server: Server, stop: CancellationToken) -> Result<(), std::io::Error> {
    let failed = |error: String| std::io::Error::other(error);
    let running = server.clone().serve_with_ct(rmcp::transport::stdio(), stop).await;
    let running = match running {
        Ok(running) => running,
        // A client that disconnects before its first message is no error.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    running.waiting().await.map_err(|error| failed(error.to_string()))?;
    server.settled(SHUTDOWN_TIMEOUT).await;
    Ok(())
}
