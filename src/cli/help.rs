//! `--help`: the commands in groups, and examples at the end of every command's help.

use std::fmt::Write as _;

use clap::{Command, CommandFactory, builder::StyledStr};

use super::{Cli, exit};

/// Formats the examples of a command for `after_help`, one line each.
macro_rules! examples {
    ($($line:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  ", $line),+)
    };
}
pub(super) use examples;

/// The headings of `ops-runbook --help`, and the commands below each.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Get started", &["init", "demo", "doctor"]),
    ("Record", &["record", "ingest", "sweep"]),
    ("Respond", &["incident", "runbook", "remediation", "escalation"]),
    ("Notify", &["notification"]),
    ("Learn", &["digest", "recurrence", "cause", "compliance", "query", "sql"]),
    ("Prove", &["audit"]),
    ("Operate", &["maintain", "rebuild", "catalog", "config", "schema", "bundle"]),
    ("Integrate", &["mcp", "completions"]),
];

/// The examples of `ops-runbook --help`.
const EXAMPLES: &str = examples!(
    "ops-runbook --lake ./demo-lake demo",
    "ops-runbook record report.json",
    "ops-runbook incident show INC-1042",
);

/// Examples in the help of a command that has subcommands: the first one of each of its first subcommands.
const EXAMPLES_OF_GROUP: usize = 3;

/// Returns the command line, with groups and examples in its help.
pub fn command() -> Command {
    let command = with_examples(Cli::command());
    let template = template(&command);
    command.help_template(template).after_help(format!("{}\n\n{EXAMPLES}", exit::HELP))
}

/// Adds examples to the commands that have subcommands.
fn with_examples(command: Command) -> Command {
    let command = command.mut_subcommands(with_examples);
    if !command.has_subcommands() {
        return command;
    }
    let first_example = |it: &Command| it.get_after_help()?.to_string().lines().nth(1).map(str::to_owned);
    let lines = command.get_subcommands().filter_map(first_example).take(EXAMPLES_OF_GROUP);
    let text = ["Examples:".to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    command.after_help(text)
}

/// Returns the help template of the root command: clap 4 has no groups of subcommands.
fn template(command: &Command) -> StyledStr {
    let (header, literal) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n\n");
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "{header}{heading}:{header:#}");
        for subcommand in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let name = subcommand.get_name();
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
        text.push('\n');
    }
    let _ = write!(text, "{header}Global options:{header:#}\n{{options}}{{after-help}}");
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::with_login;

    /// Returns every command with its path, such as `audit verify`; the root has an empty path.
    fn all_commands(path: &str, command: &Command) -> Vec<(String, Command)> {
        let mut commands = vec![(path.to_owned(), command.clone())];
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name());
            commands.extend(all_commands(path.trim_start(), subcommand));
        }
        commands
    }

    #[test]
    fn every_command_is_in_exactly_one_group() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let command = command();
        let existing: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), existing);
        assert_eq!(grouped.len(), existing.len());
    }

    #[test]
    fn the_help_shows_the_groups_before_the_global_options() {
        let help = command().render_help().to_string();
        let position = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} is missing in:\n{help}"));
        let headings = GROUPS.map(|(heading, _)| format!("\n{heading}:\n  "));
        let positions: Vec<usize> = headings.iter().map(|heading| position(heading)).collect();
        assert!(positions.is_sorted(), "{help}");
        assert!(positions.last() < Some(&position("\nGlobal options:\n")), "{help}");
        assert!(position("--lake <URI>") < position("Exit codes:"), "{help}");
        assert!(position("Exit codes:") < position("Examples:"), "{help}");
    }

    #[test]
    fn every_command_has_a_short_description() {
        for (path, command) in all_commands("", &command()).into_iter().skip(1) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{path} has no description");
            assert!(about.chars().count() <= 70, "{path}: {about}");
            assert!(!about.ends_with('.'), "{path}: {about}");
        }
    }

    #[test]
    fn every_help_ends_with_examples_that_parse() {
        let parser = with_login(command(), Some("user:sre@example.test"));
        for (path, command) in all_commands("", &command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{path} has no examples"));
            for line in examples.lines() {
                assert!(line.chars().count() <= 100, "{path}: {line}");
                let words = shlex::split(line).unwrap();
                let matches =
                    parser.clone().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{line}\n{error}"));
                assert!(called(&matches).starts_with(&path), "{line} is in the help of {path}");
            }
        }
    }

    /// Returns the path of the command that was called, such as `audit verify`.
    fn called(matches: &clap::ArgMatches) -> String {
        match matches.subcommand() {
            Some((name, matches)) => format!("{name} {}", called(matches)).trim_end().to_owned(),
            None => String::new(),
        }
    }
}
