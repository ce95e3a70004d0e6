//! A server over HTTP, and as little of a client as it takes to send it anything.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use serde_json::{Value, json};

use crate::{
    support::binary,
    wait::{LIMIT, eventually},
};

pub const TOKEN: &str = "0123456789abcdef-test";

/// One that runs, and is killed in the end.
pub struct Served {
    pub process: Child,
    pub url: String,
}

impl Served {
    /// On a port of its own.
    pub fn start(lake: &Path) -> Self {
        Self::at(lake, "127.0.0.1:0", &[])
    }

    pub fn at(lake: &Path, address: &str, arguments: &[&str]) -> Self {
        let mut command = binary(lake);
        command.args(["mcp", "--http", address, "--as", "agent:test"]).args(arguments);
        command.env("OPS_RUNBOOK_MCP_TOKEN", TOKEN);
        Self::by(command)
    }

    pub fn by(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let (sender, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = said.read_line(&mut line);
            let _ = sender.send(line);
            std::io::copy(&mut said, &mut std::io::sink())
        });
        let mut served = Self { process, url: String::new() };
        let line = first.recv_timeout(LIMIT).expect("the server says nothing");
        line.trim().strip_prefix("serving MCP at ").unwrap_or_else(|| panic!("{line}")).clone_into(&mut served.url);
        served
    }

    /// Without a farewell.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn terminate(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        eventually("the end of a server after SIGTERM", || self.process.try_wait().unwrap()).code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client with a session.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    session: String,
}

impl Client {
    pub async fn connect(url: &str) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(LIMIT).build()?;
        let hello = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": { "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } },
        });
        let response = post(&http, url, None, &hello.to_string()).await?.error_for_status()?;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        response.text().await?;
        let client = Self { http, url: url.to_owned(), session };
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string()).await?;
        Ok(client)
    }

    /// Anything, as it is.
    pub async fn send(&self, body: &str) -> Result<reqwest::Response, reqwest::Error> {
        post(&self.http, &self.url, Some(&self.session), body).await
    }

    /// The answer to a request: its result, or its error.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Result<Value, Value>, reqwest::Error> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let text = self.send(&request.to_string()).await?.error_for_status()?.text().await?;
        let answer = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:").unwrap_or(line).trim()).ok())
            .find(|message| message["id"] == 1)
            .unwrap_or_else(|| panic!("no answer in {text:?}"));
        Ok(match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        })
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Result<Value, Value>, reqwest::Error> {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// The structured answer of a call that must work.
    pub async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await.unwrap().unwrap();
        assert_ne!(result["isError"], true, "{tool}: {result:#}");
        result["structuredContent"].clone()
    }
}

pub async fn post(
    http: &reqwest::Client,
    url: &str,
    session: Option<&str>,
    body: &str,
) -> Result<reqwest::Response, reqwest::Error> {
    let mut request = http
        .post(url)
        .bearer_auth(TOKEN)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .body(body.to_owned());
    if let Some(session) = session {
        request = request.header("Mcp-Session-Id", session);
    }
    request.send().await
}
