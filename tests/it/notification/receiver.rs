//! Receivers at a socket: PagerDuty and a webhook, with or without injected errors.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use futures::stream;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// A complete request, and whether it was accepted.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
    /// The receiver accepted it, whatever the response was.
    pub accepted: bool,
}

impl Arrived {
    /// Returns the key and the action for PagerDuty, the subject and the type for a webhook.
    pub fn key_and_action(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self.path.as_str() {
            "/v2/enqueue" => (text(&self.body["dedup_key"]), text(&self.body["event_action"])),
            _ => (text(&self.body["subject"]), text(&self.body["type"])),
        }
    }
}

/// An incident according to PagerDuty's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paged {
    /// How often it was opened. Each time people were paged.
    pub opened: u32,
    pub is_open: bool,
}

struct Shared {
    arrived: Mutex<Vec<Arrived>>,
    /// The percentage of requests with an injected error.
    chaos: Mutex<(u32, StdRng)>,
    /// A fixed response, if set.
    always: Mutex<Option<(StatusCode, &'static str)>>,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// `chaos`: the percentage of requests that fail, hang, are cut off or get a `Retry-After`.
    pub async fn start(chaos: u32) -> Self {
        let shared = Arc::new(Shared {
            arrived: Mutex::default(),
            chaos: Mutex::new((chaos, StdRng::seed_from_u64(7))),
            always: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    pub fn always(&self, answer: Option<(StatusCode, &'static str)>) {
        *self.shared.always.lock().unwrap() = answer;
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().unwrap().clone()
    }

    /// Returns the number of requests.
    pub fn count(&self) -> usize {
        self.shared.arrived.lock().unwrap().len()
    }

    /// Returns the number of keys in accepted requests to a path.
    pub fn keys(&self, path: &str) -> usize {
        let arrived = self.shared.arrived.lock().unwrap();
        let taken = arrived.iter().filter(|arrived| arrived.accepted && arrived.path == path);
        taken.map(|arrived| arrived.key_and_action().0).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Applies PagerDuty's rules to the accepted requests: a trigger opens an incident unless one with its key is open; a
    /// resolve closes it, or is dropped.
    pub fn paged(&self) -> BTreeMap<String, Paged> {
        let mut paged: BTreeMap<String, Paged> = BTreeMap::new();
        for arrived in self.arrived().iter().filter(|arrived| arrived.accepted && arrived.path == "/v2/enqueue") {
            let (key, action) = arrived.key_and_action();
            let incident = paged.entry(key).or_default();
            match action.as_str() {
                "trigger" if !incident.is_open => (incident.opened, incident.is_open) = (incident.opened + 1, true),
                "resolve" => incident.is_open = false,
                _ => {}
            }
        }
        paged
    }

    /// Returns the maximum number of requests to a path within any `window`.
    pub fn most_within(&self, path: &str, window: Duration) -> usize {
        let times: Vec<Instant> =
            self.arrived().iter().filter(|arrived| arrived.path == path).map(|arrived| arrived.at).collect();
        let within = |first: &Instant| times.iter().filter(|at| **at >= *first && **at - *first < window).count();
        times.iter().map(within).max().unwrap_or(0)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let path = uri.path().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    let always = *shared.always.lock().unwrap();
    let dice = {
        let (chaos, dice) = &mut *shared.chaos.lock().unwrap();
        if dice.random_range(0..100) < *chaos { dice.random_range(0..6) } else { 6 }
    };
    // 0 to 2: the request is not accepted.
    let accepted = always.is_none_or(|(status, _)| status.is_success()) && dice >= 3;
    let arrived = Arrived { at: Instant::now(), path: path.clone(), headers, body, accepted };
    shared.arrived.lock().unwrap().push(arrived);
    let plain = |status: StatusCode, body: String| Response::builder().status(status).body(Body::from(body)).unwrap();
    if let Some((status, text)) = always {
        return plain(status, text.into());
    }
    let ok = match path.as_str() {
        "/v2/enqueue" | "/v2/change/enqueue" => plain(StatusCode::ACCEPTED, json!({ "status": "success" }).to_string()),
        _ => plain(StatusCode::OK, "ok".into()),
    };
    match dice {
        0 => plain(StatusCode::INTERNAL_SERVER_ERROR, "something broke".into()),
        1 => {
            let answer = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header("Retry-After", "1");
            answer.body(Body::from("slow down")).unwrap()
        }
        2 => plain(StatusCode::BAD_GATEWAY, "<html>bad gateway</html>".into()),
        // Accepted, but the response comes too late.
        3 => {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            ok
        }
        // Accepted, but the connection ends within the response.
        4 => {
            let parts = [Ok(Bytes::from_static(b"{\"sta")), Err(std::io::Error::other("cut"))];
            let answer = Response::builder().status(ok.status()).header("Content-Length", "1000");
            answer.body(Body::from_stream(stream::iter(parts))).unwrap()
        }
        5 => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ok
        }
        _ => ok,
    }
}
