//! What comes of what was recorded: projection, alerts, recurrence. One look serves everybody who waits for one.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    lake::{Lake, LakeError, ledger::Ledger},
    ops::{self, Consequences, OpsError},
};

/// Rows that one look is about, at most.
const MAX_ROWS: usize = 512;

type Outcome = Result<Arc<Consequences>, Arc<OpsError>>;

struct Waiting {
    seq: u64,
    reply: oneshot::Sender<Outcome>,
}

/// A handle on the task that looks. Clones share it.
#[derive(Debug, Clone)]
pub struct Follower {
    sender: mpsc::Sender<Waiting>,
}

impl Follower {
    /// The task ends when every handle is gone.
    pub fn start(lake: Lake, ledger: Ledger) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(MAX_ROWS);
        (Self { sender }, tokio::spawn(follow(lake, ledger, receiver)))
    }

    /// What came of a row of the ledger, and of others that were recorded at the same time.
    ///
    /// # Errors
    /// As [`ops::consequences`]; the row stands recorded all the same.
    pub async fn of(&self, seq: u64) -> Outcome {
        let stopped = || Arc::new(OpsError::from(LakeError::Stopped));
        let (reply, answer) = oneshot::channel();
        self.sender.send(Waiting { seq, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn follow(lake: Lake, ledger: Ledger, mut receiver: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, MAX_ROWS).await > 0 {
        let seqs: Vec<u64> = waiting.iter().map(|it| it.seq).collect();
        let outcome = ops::consequences(&lake, &ledger, &seqs).await.map(Arc::new).map_err(Arc::new);
        for it in waiting.drain(..) {
            // Whoever has gone away does not wait any more.
            let _ = it.reply.send(outcome.clone());
        }
    }
}
