//! Computes the consequences of recorded requests: projection, alerts, recurrence. One run serves all waiting callers.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    lake::{Lake, LakeError, ledger::Ledger},
    ops::{self, Consequences, OpsError},
};

/// Maximum number of ledger rows per run.
const MAX_ROWS: usize = 512;

type ConsequencesResult = Result<Arc<Consequences>, Arc<OpsError>>;

struct ConsequenceRequest {
    seq: u64,
    reply: oneshot::Sender<ConsequencesResult>,
}

/// A handle to the task that computes consequences. Clones share the task.
#[derive(Debug, Clone)]
pub struct ConsequenceTracker {
    sender: mpsc::Sender<ConsequenceRequest>,
}

impl ConsequenceTracker {
    /// Starts the task. It ends when all handles are dropped.
    pub fn start(lake: Lake, ledger: Ledger) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(MAX_ROWS);
        (Self { sender }, tokio::spawn(follow(lake, ledger, receiver)))
    }

    /// Returns the consequences of a ledger row, and of the rows of the same run.
    ///
    /// # Errors
    /// As [`ops::consequences`]. The row stays recorded.
    pub async fn of(&self, seq: u64) -> ConsequencesResult {
        let stopped = || Arc::new(OpsError::from(LakeError::Stopped));
        let (reply, answer) = oneshot::channel();
        self.sender.send(ConsequenceRequest { seq, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn follow(lake: Lake, ledger: Ledger, mut receiver: mpsc::Receiver<ConsequenceRequest>) {
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, MAX_ROWS).await > 0 {
        let seqs: Vec<u64> = waiting.iter().map(|it| it.seq).collect();
        let outcome = ops::consequences(&lake, &ledger, &seqs).await.map(Arc::new).map_err(Arc::new);
        for it in waiting.drain(..) {
            // A caller that was cancelled does not receive the reply.
            let _ = it.reply.send(outcome.clone());
        }
    }
}
