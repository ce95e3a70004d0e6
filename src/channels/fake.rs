//! Receivers on a local socket that answer with scripted responses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// How a request is answered.
#[derive(Clone)]
pub enum FakeResponse {
    /// The text is written as it is; then the connection is closed.
    Send(String),
    /// The text is written; the connection stays open.
    Hang(String),
}

/// An HTTP response with its `content-length`.
pub fn answer(status: &str, headers: &str, body: &str) -> FakeResponse {
    FakeResponse::Send(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

pub struct FakeReceiver {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeReceiver {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the received requests of HTTP, or the received lines of SMTP.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn listen() -> (Self, TcpListener, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seen = Arc::default();
        (Self { port: listener.local_addr().unwrap().port(), seen: Arc::clone(&seen) }, listener, seen)
    }

    /// Starts an HTTP server. The last response is repeated.
    pub async fn http(responses: impl IntoIterator<Item = FakeResponse>) -> Self {
        let (fake, listener, seen) = Self::listen().await;
        let mut responses: Vec<FakeResponse> = responses.into_iter().collect();
        responses.reverse();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = request(&mut stream).await;
                seen.lock().unwrap().push(request);
                let response = if responses.len() > 1 { responses.pop() } else { responses.last().cloned() };
                match response.unwrap() {
                    FakeResponse::Send(text) => {
                        let _ = stream.write_all(text.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    FakeResponse::Hang(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                            drop(stream);
                        });
                    }
                }
            }
        });
        fake
    }

    /// Starts a mail server. `script` maps the beginning of a line to the reply; the default is `250 ok`. `hang` never replies,
    /// `close` closes the connection, and so does a reply that ends with `|close`.
    pub async fn smtp(script: &[(&'static str, &'static str)]) -> Self {
        let (fake, listener, seen) = Self::listen().await;
        let script = script.to_vec();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, script.clone(), Arc::clone(&seen)));
            }
        });
        fake
    }
}

async fn request(stream: &mut TcpStream) -> String {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

async fn converse(stream: TcpStream, script: Vec<(&'static str, &'static str)>, seen: Arc<Mutex<Vec<String>>>) {
    let see = |line: &str| seen.lock().unwrap().push(line.to_owned());
    let mut stream = BufReader::new(stream);
    let mut within_text = false;
    let mut line = "CONNECT".to_owned();
    loop {
        see(&line);
        within_text &= line != ".";
        if !within_text {
            let usual = match line.as_str() {
                "CONNECT" => "220 ready",
                "DATA" => "354 go on",
                _ => "250 ok",
            };
            let reply = script.iter().find(|(start, _)| line.starts_with(start)).map_or(usual, |(_, reply)| *reply);
            match reply {
                "hang" => tokio::time::sleep(Duration::from_secs(60)).await,
                "close" => return,
                _ => {
                    let text = reply.trim_end_matches("|close");
                    stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
                    if text != reply {
                        return;
                    }
                }
            }
            within_text = reply.starts_with("354");
        }
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        line.truncate(line.trim_end().len());
    }
}
