//! A proxy in front of an object store: adds latency, counts requests and injects faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use object_store::path::Path;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::wait::eventually_async;

/// A request and its response.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: String,
    /// With its query, decoded: Google's client encodes every sign.
    pub path: String,
    /// A put-if-absent.
    pub is_conditional: bool,
    pub status: u16,
    from: Instant,
    to: Instant,
}

/// The percentage of requests with each kind of fault.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The request is forwarded and the connection is closed without a response.
    pub lost: u32,
    /// 503, and the request is not forwarded.
    pub busy: u32,
    /// The request is forwarded, and the response is 503.
    pub busy_after: u32,
    /// 409, and the request is not forwarded, as S3 does for concurrent puts: only for put-if-absent requests, which are few.
    pub conflict: u32,
    /// The request takes a quarter of a second longer.
    pub slow: u32,
}

#[derive(Debug)]
struct Settings {
    latency: Duration,
    faults: Faults,
    dice: ChaCha8Rng,
    is_careless: bool,
    is_throttled: bool,
    /// Paths of completed puts.
    written: BTreeSet<String>,
    withheld: Withheld,
    done: BTreeMap<&'static str, usize>,
}

/// The state of a withheld response to the put of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withheld {
    Not,
    Next,
    /// The put is completed, and the client waits.
    Waiting,
    /// The client closed the connection.
    GivenUp,
}

/// Records that a client gave up: its request is dropped with the connection.
struct Waiting(Arc<Mutex<Settings>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().unwrap().withheld = Withheld::GivenUp;
    }
}

/// Selects the requests that are forwarded.
type Guard = Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// A proxy to an address, on its own thread, for the lifetime of the process.
#[derive(Clone)]
pub struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    settings: Arc<Mutex<Settings>>,
    guard: Arc<Mutex<Option<Guard>>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy. `target` is an address without a path.
    pub fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            latency: Duration::ZERO,
            faults: Faults::default(),
            dice: ChaCha8Rng::seed_from_u64(11),
            is_careless: false,
            withheld: Withheld::Not,
            is_throttled: false,
            written: BTreeSet::new(),
            done: BTreeMap::new(),
        };
        let proxy =
            Self { url, exchanges: Arc::default(), settings: Arc::new(Mutex::new(settings)), guard: Arc::default() };
        let (serving, target) = (proxy.clone(), target.to_owned());
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serving.serve(listener, target));
        });
        proxy
    }

    /// Adds latency to every request.
    pub fn takes(&self, latency: Duration) {
        self.settings.lock().unwrap().latency = latency;
    }

    pub fn fails(&self, faults: Faults) {
        self.settings.lock().unwrap().faults = faults;
    }

    /// Forwards the next put of a commit and never responds: the client has to give up.
    pub fn withholds_an_answer(&self) {
        self.settings.lock().unwrap().withheld = Withheld::Next;
    }

    /// Waits until the client has given up the request with the withheld response.
    pub async fn given_up(&self) {
        let is_given_up = async || (self.settings.lock().unwrap().withheld == Withheld::GivenUp).then_some(());
        eventually_async("a client that gives up", is_given_up).await;
    }

    /// Responds with 429 to every later write to a name that was written before. Google does so within a second.
    pub fn throttles(&self) {
        self.settings.lock().unwrap().is_throttled = true;
    }

    /// Forwards only requests whose headers pass `guard`; for others responds as S3 does for expired credentials.
    pub fn admits(&self, guard: impl Fn(&HeaderMap) -> bool + Send + Sync + 'static) {
        *self.guard.lock().unwrap() = Some(Box::new(guard));
    }

    /// Lets put-if-absent requests overwrite, as in stores without conditional writes.
    pub fn forgets_conditions(&self) {
        self.settings.lock().unwrap().is_careless = true;
    }

    /// Returns the number of requests that were not forwarded.
    pub fn turned_away(&self) -> usize {
        self.exchanges.lock().unwrap().iter().filter(|exchange| exchange.status == 403).count()
    }

    /// Returns the number of faults by kind.
    pub fn faults_done(&self) -> BTreeMap<&'static str, usize> {
        self.settings.lock().unwrap().done.clone()
    }

    /// Runs `work` and returns the requests during it.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> (T, Traffic) {
        let before = self.exchanges.lock().unwrap().len();
        let outcome = work.await;
        let exchanges = self.exchanges.lock().unwrap()[before..].to_vec();
        (outcome, Traffic(exchanges))
    }

    async fn serve(self, listener: TcpListener, target: String) {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let (proxy, http, target) = (self.clone(), http.clone(), target.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| proxy.answer(&http, &target, request));
                // An error here is a connection that was closed on purpose.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(
        &self,
        http: &reqwest::Client,
        target: &str,
        request: Request<Incoming>,
    ) -> io::Result<Response<Full<Bytes>>> {
        let from = Instant::now();
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let is_conditional =
            head.headers.contains_key(header::IF_NONE_MATCH) || head.headers.contains_key("x-goog-if-generation-match");
        let (latency, mut fault) = self.roll(is_conditional);
        let is_commit = is_conditional && plain(&path).contains("/_delta_log/");
        let withheld = if is_commit { self.withholds() } else { None };
        if self.guard.lock().unwrap().as_ref().is_some_and(|guard| !guard(&head.headers)) {
            fault = "turned away";
        }
        if self.is_too_soon(&head.method, &path) {
            fault = "too soon";
        }
        tokio::time::sleep(latency).await;
        let refusal = |status: StatusCode| {
            let mut response = Response::new(Full::new(Bytes::from_static(b"<Error><Code>SlowDown</Code></Error>")));
            *response.status_mut() = status;
            response
        };
        let response = match fault {
            "turned away" => refusal(StatusCode::FORBIDDEN),
            "busy" => refusal(StatusCode::SERVICE_UNAVAILABLE),
            "conflict" => refusal(StatusCode::CONFLICT),
            "too soon" => refusal(StatusCode::TOO_MANY_REQUESTS),
            _ => {
                let mut headers = head.headers.clone();
                // These headers are per connection.
                headers.remove(header::CONNECTION);
                if self.settings.lock().unwrap().is_careless {
                    headers.remove(header::IF_NONE_MATCH);
                    headers.remove("x-goog-if-generation-match");
                }
                let sent = http.request(head.method.clone(), format!("{target}{path}")).headers(headers).body(body);
                let answer = sent.send().await.map_err(io::Error::other)?;
                let mut response = Response::new(Full::default());
                *response.status_mut() = answer.status();
                *response.headers_mut() = answer.headers().clone();
                response.headers_mut().remove(header::TRANSFER_ENCODING);
                response.headers_mut().remove(header::CONNECTION);
                let length = response.headers().get(header::CONTENT_LENGTH).cloned();
                let bytes = answer.bytes().await.map_err(io::Error::other)?;
                // The response to HEAD has the length of the omitted body.
                if bytes.is_empty()
                    && let Some(length) = length
                {
                    response.headers_mut().insert(header::CONTENT_LENGTH, length);
                }
                *response.body_mut() = Full::new(bytes);
                if fault == "busy_after" { refusal(StatusCode::SERVICE_UNAVAILABLE) } else { response }
            }
        };
        let method = head.method.to_string();
        let status = response.status().as_u16();
        let exchange = Exchange { method, path: plain(&path), is_conditional, status, from, to: Instant::now() };
        self.exchanges.lock().unwrap().push(exchange);
        if head.method == Method::PUT && response.status().is_success() {
            self.settings.lock().unwrap().written.insert(path);
        }
        if withheld.is_some() {
            std::future::pending::<()>().await;
        }
        if fault == "lost" { Err(io::Error::other("lost on purpose")) } else { Ok(response) }
    }

    /// Returns a guard if the response to this put of a commit is to be withheld.
    fn withholds(&self) -> Option<Waiting> {
        let mut settings = self.settings.lock().unwrap();
        (settings.withheld == Withheld::Next).then(|| {
            settings.withheld = Withheld::Waiting;
            Waiting(Arc::clone(&self.settings))
        })
    }

    /// Returns whether a write comes too soon after another one to the same name.
    fn is_too_soon(&self, method: &Method, path: &str) -> bool {
        let settings = self.settings.lock().unwrap();
        settings.is_throttled && *method == Method::PUT && settings.written.contains(path)
    }

    fn roll(&self, is_conditional: bool) -> (Duration, &'static str) {
        let mut settings = self.settings.lock().unwrap();
        let Faults { lost, busy, busy_after, conflict, slow } = settings.faults;
        let mut rolled = settings.dice.random_range(0..100);
        let mut chosen = "";
        for (name, share) in [
            ("lost", lost),
            ("busy", busy),
            ("busy_after", busy_after),
            ("slow", slow),
            ("conflict", if is_conditional { conflict } else { 0 }),
        ] {
            if rolled < share {
                chosen = name;
                break;
            }
            rolled -= share;
        }
        if !chosen.is_empty() {
            *settings.done.entry(chosen).or_default() += 1;
        }
        let slower = if chosen == "slow" { Duration::from_millis(250) } else { Duration::ZERO };
        (settings.latency + slower, chosen)
    }
}

fn plain(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = Path::from_url_path(path).map_or_else(|_| path.to_owned(), |path| format!("/{path}"));
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// The requests during some work.
#[derive(Debug, Clone)]
pub struct Traffic(pub Vec<Exchange>);

impl Traffic {
    pub fn count(&self, method: &str) -> usize {
        self.0.iter().filter(|exchange| exchange.method == method).count()
    }

    /// Returns the length of the longest sequence of requests of which each began after the end of the one before.
    pub fn round_trips(&self) -> usize {
        let mut sorted: Vec<&Exchange> = self.0.iter().collect();
        sorted.sort_by_key(|exchange| exchange.to);
        let mut end = None;
        sorted
            .into_iter()
            .filter(|exchange| {
                let next = end.is_none_or(|end| exchange.from >= end);
                if next {
                    end = Some(exchange.to);
                }
                next
            })
            .count()
    }

    /// Returns one line per request, for a failing test.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|it| {
                format!("{} {} {} {}", it.method, it.path, it.status, if it.is_conditional { "if absent" } else { "" })
            })
            .collect()
    }
}
