//! `doctor`: is a place fit for a lake, and is the lake there well.

use serde_json::json;

use super::{commands::Outcome, exit::Code, output::Output};
use crate::{
    domain::{
        checkup::{Finding, State},
        redact::Redactor,
    },
    lake::{Lake, doctor},
    render::checkup,
};

pub async fn run(lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let spinner = output.spinner();
    spinner.set_message("looking");
    let findings: Vec<Finding> = doctor::examine(lake)
        .await
        .into_iter()
        // A store's own words may quote what it was sent.
        .map(|finding| Finding { seen: redactor.text(&finding.seen).into(), ..finding })
        .collect();
    spinner.finish_and_clear();
    let usable = !findings.iter().any(|finding| finding.state == State::Failed);
    if output.json {
        output.json(&json!({ "lake": lake.display(), "usable": usable, "findings": findings }))?;
    } else {
        output.text(&checkup::text(&lake.display(), &findings))?;
    }
    Ok(if usable { Code::Success } else { Code::Failure })
}
