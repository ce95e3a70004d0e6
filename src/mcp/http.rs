//! The HTTP server: `/mcp` is streamable HTTP with a bearer token, `/pagerduty` takes signed webhooks, `/healthz` is the health
//! check.

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
    SHUTDOWN_TIMEOUT,
    pagerduty::{self, WebhookReceiver},
    server::Server,
};
use crate::{channels::Secret, domain::report::MAX_REPORT_BYTES};

/// Maximum size of a request body, in bytes: the largest report, and the call around it.
pub const MAX_BODY_BYTES: usize = MAX_REPORT_BYTES + (256 << 10);
/// Minimum length of a token, in characters. A shorter one could be guessed.
pub const MIN_TOKEN_CHARACTERS: usize = 16;

/// The token that clients must send. Holds only its SHA-256, so it cannot be printed.
#[derive(Clone)]
pub struct ServerToken([u8; 32]);

impl ServerToken {
    /// Checks a token.
    ///
    /// # Errors
    /// The reason why the token is not accepted.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().count() < MIN_TOKEN_CHARACTERS {
            return Err(format!("it has fewer than {MIN_TOKEN_CHARACTERS} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that are not allowed in a header".into());
        }
        Ok(Self::digest(text))
    }

    fn digest(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Compares in constant time.
    fn is(&self, given: &str) -> bool {
        self.0.ct_eq(&Self::digest(given).0).into()
    }
}

impl fmt::Debug for ServerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The authentication of the HTTP server.
#[derive(Debug, Clone)]
pub struct HttpAuthConfig {
    /// `None`: a proxy authenticates the clients.
    pub token: Option<ServerToken>,
    /// Accepted hosts, with or without port; empty: all.
    pub hosts: Vec<String>,
    /// Accepted browser origins. Requests without an origin do not come from a browser.
    pub origins: Vec<String>,
    /// The webhook secrets of PagerDuty; empty: the endpoint does not exist.
    pub pagerduty: Vec<Secret>,
}

/// Serves clients until `stop` is cancelled. Then new requests are refused, and running calls finish.
///
/// # Errors
/// An error of the listener.
pub async fn serve(
    server: Server,
    listener: TcpListener,
    auth: HttpAuthConfig,
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
            .with_allowed_hosts(auth.hosts)
            .with_allowed_origins(auth.origins)
            .enforce_origin_validation()
            .with_max_request_body_bytes(MAX_BODY_BYTES)
            .with_cancellation_token(ended.clone()),
    );
    let check = TokenCheck { token: auth.token, stop: stop.clone() };
    let mut router = Router::new().route_service("/mcp", service).layer(middleware::from_fn_with_state(check, admit));
    if !auth.pagerduty.is_empty() {
        let webhook = WebhookReceiver { server: server.clone(), secrets: Arc::new(auth.pagerduty) };
        let limit = DefaultBodyLimit::max(pagerduty::MAX_BODY_BYTES);
        router = router.route("/pagerduty", post(pagerduty::take).with_state(webhook).layer(limit));
    }
    let router = router.route("/healthz", get(|| async { "ok\n" }));
    let closing = {
        let (stop, ended) = (stop.clone(), ended.clone());
        async move {
            stop.cancelled().await;
            server.settled(SHUTDOWN_TIMEOUT).await;
            // Lets the last responses leave.
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
struct TokenCheck {
    token: Option<ServerToken>,
    stop: CancellationToken,
}

async fn admit(State(check): State<TokenCheck>, request: Request, next: Next) -> Response {
    if check.stop.is_cancelled() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
            "the server is stopping; retry later\n",
        )
            .into_response();
    }
    if let Some(token) = &check.token
        && !bearer(request.headers()).is_some_and(|given| token.is(given))
    {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"ops-runbook\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "give the server's token as Authorization: Bearer TOKEN\n")
            .into_response();
    }
    next.run(request).await
}

/// Returns the bearer token of a request. Several authorization headers count as none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Parses a listen address. A port alone means this machine only.
///
/// # Errors
/// The expected format.
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
        assert!(ServerToken::new("short").is_err());
        assert!(ServerToken::new("0123456789abcde\u{e4}").is_err());
        let token = ServerToken::new(" 0123456789abcdef\n").unwrap();
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
