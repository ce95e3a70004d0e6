//! The runbook as one bash file with sub-commands, which runs the same blocks.

use std::fmt::Write;

use super::{EntryPart, Runbook, RunbookEntry, RunbookTool, layout::EMPTY, quote::shown};

/// The script. It needs bash, jq and the tool, and reads host and credentials from the environment.
pub fn script(runbook: &Runbook) -> String {
    let tool = match runbook.with {
        RunbookTool::Cli => "databricks",
        RunbookTool::Curl => "curl",
    };
    let version = runbook.version.map_or_else(|| "n/a".to_owned(), |version| version.to_string());
    let mut out = format!(
        "#!/usr/bin/env bash\n\
         # Runbook of {}, version {version}. Usage: bash FILE check|apply|validate|rollback [ENTRY]\n\
         # Exit code 0: every entry is done; 1: at least one failed; 2: wrong usage; 3: none failed, and at least one has nothing to run.\n\
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
    dispatch(&mut out, runbook, tool);
    out
}

/// Collects the results of entries. No function is called where bash ignores `-e`, such as before `||` or in `if`.
const OUTCOMES: &str = r#"
finished='' manual='' failed=''
attempt() { # FUNCTION...: runs them in order until one fails
  local code
  set +e
  (
    set -e
    for part in "$@"; do "$part"; done
  )
  code=$?
  set -e
  if [ "$code" -eq 0 ]; then
    finished="$finished $entry"
    echo "entry $entry: done"
  else
    failed="$failed $entry"
    echo "entry $entry: FAILED with exit code $code" >&2
  fi
}
nothing() {
  manual="$manual $entry"
  echo "entry $entry: nothing to run; the comments in this file say why" >&2
}
"#;

/// Parses the arguments, runs the functions, and sets the exit code.
fn dispatch(out: &mut String, runbook: &Runbook, tool: &str) {
    let last = runbook.entries.len();
    let each = (1..=last).map(|number| number.to_string()).collect::<Vec<_>>().join(" | ");
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
         \x20 '') ;;\n\
         \x20 {each}) entries=$2 ;;\n  *) usage ;;\nesac\n\
         case ${{1-}} in\n\
         \x20 check | apply | validate) ;;\n\
         \x20 rollback) if [ $# -lt 2 ]; then entries='{reversed}'; fi ;;\n\
         \x20 *) usage ;;\n\
         esac\n\
         {OUTCOMES}\
         for entry in $entries; do\n\
         \x20 echo \"entry $entry: $1\"\n\
         \x20 case $1/$entry in\n",
        all = spaced(1..=last),
        reversed = spaced((1..=last).rev()),
    );
    for entry in &runbook.entries {
        let number = entry.number;
        for (name, part) in parts(entry) {
            let before =
                if name == "apply" && entry.check.block.is_some() { format!("check_{number} ") } else { String::new() };
            let call = match part.block {
                Some(_) => format!("attempt {before}{name}_{number}"),
                None => "nothing".into(),
            };
            let _ = writeln!(out, "    {name}/{number}) {call} ;;");
        }
    }
    out.push_str(END);
}

/// The end of the script. `apply` stops at the first failure, because a later entry may need an earlier one; other commands
/// continue.
const END: &str = r#"  esac
  if [ "$1" = apply ] && [ -n "$failed$manual" ]; then
    echo "stop: no entry after $entry was applied" >&2
    break
  fi
done
echo "$1: done:${finished:- none}; nothing to run:${manual:- none}; failed:${failed:- none}"
if [ -n "$failed" ]; then exit 1; fi
# A missing check is no failure; other entries with nothing to run are not done.
if [ -n "$manual" ] && [ "$1" != check ]; then exit 3; fi
"#;

/// The parts of an entry that can be run, by the names of their functions.
fn parts(entry: &RunbookEntry) -> [(&'static str, &EntryPart); 4] {
    [("check", &entry.check), ("apply", &entry.apply), ("validate", &entry.validate), ("rollback", &entry.rollback)]
}

fn spaced(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn functions(out: &mut String, entry: &RunbookEntry) {
    let _ = writeln!(out, "\n# Entry {}: {}", entry.number, shown(&entry.title));
    for note in &entry.notes {
        let _ = writeln!(out, "# {note}");
    }
    for (name, part) in parts(entry) {
        function(out, name, entry.number, part);
    }
}

fn function(out: &mut String, name: &str, number: usize, part: &EntryPart) {
    out.push('\n');
    if part.block.is_none() {
        let _ = writeln!(out, "# {name} of entry {number}: nothing to run");
    }
    for note in &part.notes {
        let _ = writeln!(out, "# {note}");
    }
    if let Some(block) = &part.block {
        let _ = writeln!(out, "{name}_{number}() {}", block.trim_end());
    }
}
