//! The check of a login to a workspace.

use super::plain::{line, na};
use crate::domain::login::{CurrentUser, LoginReport, Method};

/// The width of the names in the first column.
const NAMES: usize = 12;

/// Workspace, method and user, the sources of the settings, why other methods were not used, and advice at the end.
pub fn text(report: &LoginReport) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: &str| text.push_str(&format!("{name:<NAMES$}  {}\n", line(value)));
    add("workspace", report.workspace.as_deref().unwrap_or("n/a"));
    add("method", report.method.map_or("n/a", Method::as_str));
    add("user", &report.user.as_ref().map_or_else(|| "n/a".to_owned(), user));
    add("workspace id", &na(report.user.as_ref().and_then(|user| user.workspace_id.as_deref())));
    for (index, (_, source)) in report.settings.iter().enumerate() {
        add(if index == 0 { "settings" } else { "" }, source);
    }
    let width = report.unused.iter().map(|(method, _)| method.as_str().len()).max().unwrap_or(0);
    for (index, (method, reason)) in report.unused.iter().enumerate() {
        add(if index == 0 { "not used" } else { "" }, &format!("{:<width$}  {reason}", method.as_str()));
    }
    match &report.problem {
        None => text.push_str("\nThe workspace can be used.\n"),
        Some(problem) => {
            text.push_str(&format!("\nThe workspace cannot be used: {}\n", line(&problem.error)));
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("→ {}\n", line(hint)));
            }
        }
    }
    text
}

fn user(user: &CurrentUser) -> String {
    match user.display_name.as_deref().filter(|name| *name != user.name && !name.is_empty()) {
        Some(display) => format!("{} ({display})", user.name),
        None => user.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::login::LoginProblem;

    #[test]
    fn text_from_outside_adds_no_lines() {
        let hostile = "a\nb\u{202e}c\u{1b}[2J";
        let report = LoginReport {
            workspace: Some(hostile.into()),
            settings: vec![("host", hostile.into())],
            method: Some(Method::Pat),
            unused: vec![(Method::AzureCli, hostile.into())],
            user: Some(CurrentUser {
                name: hostile.into(),
                display_name: Some(format!("{hostile}!")),
                workspace_id: Some(hostile.into()),
            }),
            problem: Some(LoginProblem { error: hostile.into(), hint: Some(hostile.into()) }),
        };
        let text = text(&report);
        assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
        assert_eq!(text.lines().count(), 9, "{text}");
    }
}
