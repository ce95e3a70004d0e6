//! Termination signals.

use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by an interrupt or a termination signal.
pub fn stopping() -> CancellationToken {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        #[cfg(unix)]
        {
            let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
            let terminate = async {
                match &mut terminated {
                    Some(terminated) => drop(terminated.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = terminate => {}
            }
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        signalled.cancel();
    });
    stop
}
