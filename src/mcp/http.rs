//! The way in over HTTP: streamable HTTP at `/mcp`, behind a bearer token; `/pagerduty` for what comes back from there, signed;
//! `/healthz` says that the server is up.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    PATIENCE,
    pagerduty::{self, Door},
    server::Server,
};
use crate::{delivery::Secret, domain::report::MAX_REPORT_BYTES};

/// The largest report, and what surrounds it in a call.
pub const MAX_BODY_BYTES: usize = MAX_REPORT_BYTES + (256 << 10);
/// A shorter token could be guessed.
pub const MIN_TOKEN_CHARACTERS: usize = 16;

/// What a client must know to come in. Keeps a digest only, so that nothing can print it.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().count() < MIN_TOKEN_CHARACTERS {
            return Err(format!("it has fewer than {MIN_TOKEN_CHARACTERS} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that no header takes".into());
        }
        Ok(Self::digest(text))
    }

    fn digest(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes as long whatever differs.
    fn is(&self, given: &str) -> bool {
        self.0.ct_eq(&Self::digest(given).0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Who may come in.
#[derive(Debug, Clone)]
pub struct Doors {
    /// `None`: something in front of the server knows who may.
    pub token: Option<Token>,
    /// Names that the server is called by, with or without port; empty: any.
    pub hosts: Vec<String>,
    /// Browser origins that may call. Requests without an origin do not come from a browser.
    pub origins: Vec<String>,
    /// What PagerDuty signs with; empty: it does not call.
    pub pagerduty: Vec<Secret>,
}

/// Serves clients until `stop` says so; then nobody else is let in, and what is under way may end.
///
/// # Errors
/// The listener's.
pub async fn serve(
    server: Server,
    listener: TcpListener,
    doors: Doors,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let ended = CancellationToken::new();
    let service = StreamableHttpService::new(
        {
            let server = server.clone();
            move || Ok(server.clone())
        },
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default()
            .with_allowed_hosts(doors.hosts)
            .with_allowed_origins(doors.origins)
            .enforce_origin_validation()
            .with_max_request_body_bytes(MAX_BODY_BYTES)
            .with_cancellation_token(ended.clone()),
    );
    let gate = Gate { token: doors.token, stop: stop.clone() };
    let mut router = Router::new().route_service("/mcp", service).layer(middleware::from_fn_with_state(gate, admit));
    if !doors.pagerduty.is_empty() {
        let door = Door { server: server.clone(), secrets: Arc::new(doors.pagerduty) };
        let limit = DefaultBodyLimit::max(pagerduty::MAX_BODY_BYTES);
        router = router.route("/pagerduty", post(pagerduty::take).with_state(door).layer(limit));
    }
    let router = router.route("/healthz", get(|| async { "ok\n" }));
    let closing = {
        let (stop, ended) = (stop.clone(), ended.clone());
        async move {
            stop.cancelled().await;
            server.settled(PATIENCE).await;
            // Answers that were given are on their way.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            ended.cancel();
        }
    };
    let served = axum::serve(listener, router.into_make_service()).with_graceful_shutdown({
        let ended = ended.clone();
        async move { ended.cancelled().await }
    });
    let (served, ()) = tokio::join!(async { served.await }, closing);
    served
}

#[derive(Clone)]
struct Gate {
    token: Option<Token>,
    stop: CancellationToken,
}

async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if gate.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "the server is stopping; try again\n")
            .into_response();
    }
    if let Some(token) = &gate.token
        && !bearer(request.headers()).is_some_and(|given| token.is(given))
    {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"ops-runbook\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "give the server's token as Authorization: Bearer TOKEN\n")
            .into_response();
    }
    next.run(request).await
}

/// The one token that a request gives. Several headers are none: nobody knows which one counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where to listen: an address, or a port of this machine only.
///
/// # Errors
/// Says what it should be.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| format!("{text:?} is not an address such as 127.0.0.1:8765, nor a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_fits_into_a_header() {
        assert!(Token::new("short").is_err());
        assert!(Token::new("0123456789abcde\u{e4}").is_err());
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        assert!(!token.is("0123456789abcdeF") && !token.is("") && !token.is("0123456789abcdef0"));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn one_bearer_token_counts() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer x"])), Some("x"));
        assert_eq!(bearer(&headers(&["bearer  x "])), Some("x"));
        for wrong in [&[][..], &["x"], &["Basic x"], &["Bearer x", "Bearer x"]] {
            assert_eq!(bearer(&headers(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_port_alone_is_of_this_machine_only() {
        assert_eq!(address("8765").unwrap().to_string(), "127.0.0.1:8765");
        assert_eq!(address(":8765").unwrap().to_string(), "127.0.0.1:8765");
        assert_eq!(address("0.0.0.0:80").unwrap().to_string(), "0.0.0.0:80");
        assert_eq!(address("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert!(address("localhost").is_err() && address("70000").is_err());
    }
}
