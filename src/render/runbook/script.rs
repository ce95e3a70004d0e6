//! The runbook as one bash file with sub-commands, made of the same blocks.

use std::fmt::Write;

use super::{Entry, Part, Runbook, Tool, layout::EMPTY, quote::shown};

/// The script. Needs bash, jq and the tool; reads what to connect to from the environment.
pub fn script(runbook: &Runbook) -> String {
    let tool = match runbook.with {
        Tool::Cli => "databricks",
        Tool::Curl => "curl",
    };
    let version = runbook.version.map_or_else(|| "n/a".to_owned(), |version| version.to_string());
    let mut out = format!(
        "#!/usr/bin/env bash\n\
         # Runbook of {}, version {version}. Usage: bash FILE check|apply|validate|rollback [ENTRY]\n\
         # Reads DATABRICKS_HOST and credentials such as DATABRICKS_TOKEN from the environment. Needs bash, jq, {tool}.\n\
         set -euo pipefail\n",
        runbook.incident_id
    );
    if runbook.entries.is_empty() {
        let _ = writeln!(out, "\necho '{EMPTY}'");
        return out;
    }
    for entry in &runbook.entries {
        functions(&mut out, entry);
    }
    let last = runbook.entries.len();
    let _ = write!(
        out,
        "\nusage() {{\n\
         \x20 echo 'usage: bash FILE check|apply|validate|rollback [ENTRY], where ENTRY is 1 to {last}; without one, all' >&2\n\
         \x20 exit 2\n\
         }}\n\
         for tool in jq {tool}; do\n\
         \x20 command -v \"$tool\" >/dev/null || {{\n    echo \"stop: $tool is missing\" >&2\n    exit 1\n  }}\n\
         done\n\
         entries='{all}'\n\
         case ${{2-}} in\n\
         \x20 '') ;;\n",
        all = spaced(1..=last)
    );
    let _ = write!(
        out,
        "  {each}) entries=$2 ;;\n  *) usage ;;\nesac\n\
         case ${{1-}} in\n\
         \x20 check | apply | validate) ;;\n\
         \x20 rollback) if [ $# -lt 2 ]; then entries='{reversed}'; fi ;;\n\
         \x20 *) usage ;;\n\
         esac\n\
         for entry in $entries; do\n\
         \x20 echo \"entry $entry: $1\"\n\
         \x20 case $1/$entry in\n",
        each = (1..=last).map(|number| number.to_string()).collect::<Vec<_>>().join(" | "),
        reversed = spaced((1..=last).rev()),
    );
    for number in 1..=last {
        let _ = writeln!(out, "    check/{number}) check_{number} ;;");
        let _ = writeln!(out, "    apply/{number})\n      check_{number}\n      apply_{number}\n      ;;");
        let _ = writeln!(out, "    validate/{number}) validate_{number} ;;");
        let _ = writeln!(out, "    rollback/{number}) rollback_{number} ;;");
    }
    out.push_str("  esac\ndone\n");
    out
}

fn spaced(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn functions(out: &mut String, entry: &Entry) {
    let _ = writeln!(out, "\n# Entry {}: {}", entry.number, shown(&entry.title));
    for note in &entry.notes {
        let _ = writeln!(out, "# {note}");
    }
    // A check that is not needed or not possible holds nothing up; the rest must not pass for done.
    for (name, part, without) in [
        ("check", &entry.check, 0),
        ("apply", &entry.apply, 1),
        ("validate", &entry.validate, 1),
        ("rollback", &entry.rollback, 1),
    ] {
        function(out, name, entry.number, part, without);
    }
}

fn function(out: &mut String, name: &str, number: usize, part: &Part, without: u8) {
    out.push('\n');
    for note in &part.notes {
        let _ = writeln!(out, "# {note}");
    }
    match &part.block {
        Some(block) => {
            let _ = writeln!(out, "{name}_{number}() {}", block.trim_end());
        }
        None => {
            let _ = writeln!(
                out,
                "{name}_{number}() {{\n  echo 'entry {number}: nothing that {name} could run; the comments in this file say why' >&2\n  return {without}\n}}"
            );
        }
    }
}
