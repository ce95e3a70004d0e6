//! Stands before an object store at the socket: takes time, counts, and lets things go wrong.

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

/// A request, and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: String,
    /// With its query, read as clients mean it: Google's encodes every sign.
    pub path: String,
    /// A put that may not overwrite.
    pub is_conditional: bool,
    pub status: u16,
    from: Instant,
    to: Instant,
}

/// How often of a hundred times something goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// It is done, and nobody hears of it: the connection ends.
    pub lost: u32,
    /// 503, and nothing is done.
    pub busy: u32,
    /// It is done, and answered by 503.
    pub busy_after: u32,
    /// 409, and nothing is done, as S3 says when two come at once: of puts that may not overwrite, which are few.
    pub conflict: u32,
    /// It takes a quarter of a second longer.
    pub slow: u32,
}

#[derive(Debug)]
struct Settings {
    latency: Duration,
    faults: Faults,
    dice: ChaCha8Rng,
    is_careless: bool,
    is_throttled: bool,
    /// Paths of puts that were done.
    written: BTreeSet<String>,
    withheld: Withheld,
    done: BTreeMap<&'static str, usize>,
}

/// What becomes of the answer to the next put of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withheld {
    Not,
    Next,
    /// The put is done, and the client waits.
    Waiting,
    /// The client ended the connection.
    GivenUp,
}

/// Notes that a client has given up: the request is dropped with its connection.
struct Waiting(Arc<Mutex<Settings>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().unwrap().withheld = Withheld::GivenUp;
    }
}

/// Who may pass.
type Guard = Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// Forwards to an address, on a thread of its own, as long as the process lives.
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
    /// `target` is an address without a path.
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

    /// Every request takes so much longer.
    pub fn takes(&self, latency: Duration) {
        self.settings.lock().unwrap().latency = latency;
    }

    pub fn fails(&self, faults: Faults) {
        self.settings.lock().unwrap().faults = faults;
    }

    /// The next put of a commit is done and never answered: the client has to give up.
    pub fn withholds_an_answer(&self) {
        self.settings.lock().unwrap().withheld = Withheld::Next;
    }

    /// Waits until the client has given up the request whose answer is withheld.
    pub async fn given_up(&self) {
        let is_given_up = async || (self.settings.lock().unwrap().withheld == Withheld::GivenUp).then_some(());
        eventually_async("a client that gives up", is_given_up).await;
    }

    /// From now on a write to a name that was written before is answered by 429. Google does so within a second.
    pub fn throttles(&self) {
        self.settings.lock().unwrap().is_throttled = true;
    }

    /// Only requests with such headers are forwarded; others are answered as S3 does when credentials have ended.
    pub fn admits(&self, guard: impl Fn(&HeaderMap) -> bool + Send + Sync + 'static) {
        *self.guard.lock().unwrap() = Some(Box::new(guard));
    }

    /// Puts that may not overwrite overwrite, as some stores do that do not know the condition.
    pub fn forgets_conditions(&self) {
        self.settings.lock().unwrap().is_careless = true;
    }

    /// Requests that were not let through.
    pub fn turned_away(&self) -> usize {
        self.exchanges.lock().unwrap().iter().filter(|exchange| exchange.status == 403).count()
    }

    /// How often each thing went wrong.
    pub fn faults_done(&self) -> BTreeMap<&'static str, usize> {
        self.settings.lock().unwrap().done.clone()
    }

    /// What happened while `work` was done.
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
                // An error here is a connection that was cut on purpose.
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
                // Each hop has its own.
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
                // The answer to HEAD tells the length of what it leaves out.
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

    /// When the answer to this put of a commit is the one that is withheld.
    fn withholds(&self) -> Option<Waiting> {
        let mut settings = self.settings.lock().unwrap();
        (settings.withheld == Withheld::Next).then(|| {
            settings.withheld = Withheld::Waiting;
            Waiting(Arc::clone(&self.settings))
        })
    }

    /// Whether a write comes too soon after another one to the same name.
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

/// Requests that were made during some work.
#[derive(Debug, Clone)]
pub struct Traffic(pub Vec<Exchange>);

impl Traffic {
    pub fn count(&self, method: &str) -> usize {
        self.0.iter().filter(|exchange| exchange.method == method).count()
    }

    /// Requests that had to wait for one another: the longest row of which each came after the end of the one before.
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

    /// One line per request, for a failing test.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|it| {
                format!("{} {} {} {}", it.method, it.path, it.status, if it.is_conditional { "if absent" } else { "" })
            })
            .collect()
    }
}
