//! Sections about what is to be worked on: recurring issues, open incidents, alerts, repeat offenders, preventive actions.

use super::{Block, Item, Kind, MOST_ROWS, Table, Words, capped, column, maybe, name, own, words};
use crate::{
    domain::digest::{Digest, LEAST_FOR_MEDIAN},
    render::plain::{NA, duration, na},
};

pub fn recurring(digest: &Digest) -> Option<Vec<Block>> {
    let issues = &digest.figures.recurring;
    if issues.is_empty() {
        return None;
    }
    let zone = digest.week.zone();
    let (shown, more) = capped(issues, "recurring issues");
    let items = shown.iter().map(|issue| {
        let (first, last) = (words::moment(issue.first_at, zone), words::moment(issue.last_at, zone));
        let incidents = if issue.occurrences == 1 { "incident" } else { "incidents" };
        let about = format!(
            " ({}): {} {incidents}, {first} to {last}, recurring since {}",
            words::state(issue),
            issue.occurrences,
            issue.incident_id
        );
        let (actions, rest) = issue.actions.split_at(issue.actions.len().min(MOST_ROWS));
        let actions = actions.iter().map(|action| {
            Item::of(vec![
                own(format!("{}: ", action.state)),
                name(&action.title),
                own(" ("),
                name(&action.action),
                own(")"),
            ])
        });
        let none = issue.actions.is_empty().then(|| Item::of(vec![own("no preventive action is known")]));
        let rest =
            (!rest.is_empty()).then(|| Item::of(vec![own(format!("{} more actions are not shown", rest.len()))]));
        Item {
            words: vec![name(&issue.episode_id), own(about)],
            command: None,
            below: [Item::of(vec![name(&issue.root_cause)])]
                .into_iter()
                .chain(actions)
                .chain(none)
                .chain(rest)
                .collect(),
        }
    });
    let mut blocks = vec![Block::Items(items.collect())];
    blocks.extend(more);
    blocks.push(Block::Note(
        "Open at the end of the week, or ended in it: the same root cause came often enough within the configured window. \
         Below each: the cause, then preventive actions and how far they have come."
            .into(),
    ));
    Some(blocks)
}

pub fn open(digest: &Digest) -> Option<Vec<Block>> {
    let open = &digest.figures.open;
    if open.is_empty() {
        return None;
    }
    let oldest = words::oldest(open);
    let (shown, more) = capped(&oldest, "open incidents");
    let rows = shown.iter().map(|open| {
        vec![
            own(open.incident_id),
            own(duration(Some(open.age_hours * 3600.0))),
            own(open.incident_type.as_str()),
            own(if open.acknowledged_at.is_some() { "yes" } else { "no" }),
            maybe(open.resource_name.as_deref()),
            name(&open.title),
        ]
    });
    let columns = vec![
        column("Incident", Kind::Word),
        column("Age", Kind::Number),
        column("Type", Kind::Word),
        column("Ack", Kind::Word),
        column("Resource", Kind::Name(8)),
        column("Title", Kind::Name(10)),
    ];
    let mut blocks = vec![
        Block::Note(format!("{} open at the end of the week: {}.", open.len(), words::ages(open))),
        Block::Table(Table { columns, rows: rows.collect() }),
    ];
    blocks.extend(more);
    blocks.push(Block::Note(
        "The oldest first. Age: report to the end of the week. Ack: somebody had acknowledged it by then.".into(),
    ));
    Some(blocks)
}

pub fn escalations(digest: &Digest) -> Option<Vec<Block>> {
    let alerts = &digest.figures.escalations;
    if alerts.is_empty() {
        return None;
    }
    let kind = || [column("Severity", Kind::Word), column("Trigger", Kind::Word)];
    let numbers = |titles: &[&str]| -> Vec<_> {
        kind().into_iter().chain(titles.iter().map(|title| column(*title, Kind::Number))).collect()
    };
    let raised = Table {
        columns: numbers(&["Fired", "Sent", "Failed", "Unrouted", "Suppressed"]),
        rows: alerts
            .iter()
            .map(|row| {
                let counts = [
                    na(Some(row.fired)),
                    na(row.sent),
                    na(row.failed),
                    na(Some(row.unrouted)),
                    na(Some(row.suppressed)),
                ];
                [own(row.severity), own(row.trigger)].into_iter().chain(counts.map(Words::Own)).collect()
            })
            .collect(),
    };
    let became = Table {
        columns: numbers(&["Fired", "Acknowledged", "Resolved", "Open", "p50 to ack"]),
        rows: alerts
            .iter()
            .filter(|row| row.fired > 0)
            .map(|row| {
                let median = row.acknowledge_p50_s.filter(|_| row.acknowledged >= LEAST_FOR_MEDIAN);
                let counts = [row.fired, row.acknowledged, row.resolved, row.open].map(own);
                [own(row.severity), own(row.trigger)].into_iter().chain(counts).chain([own(duration(median))]).collect()
            })
            .collect(),
    };
    let [fired, unrouted, suppressed, acknowledged, resolved, open] = words::alert_sums(&digest.figures);
    let sums = format!(
        "{fired} fired, of them {unrouted} unrouted, {acknowledged} acknowledged, {resolved} resolved, {open} open; \
         {suppressed} suppressed."
    );
    let about = format!(
        "Fired: people were to be told. Sent, failed: notices that were delivered over a channel, and that were given up; {NA} \
         where none was tried. Unrouted: no route matched, so nobody was told. Suppressed: the trigger held and the alert was \
         kept quiet. Then, of those that fired, what had become of them by the end of the week; p50 to ack: median from firing to \
         acknowledgement, {NA} below {LEAST_FOR_MEDIAN} acknowledged."
    );
    let mut blocks = vec![Block::Note(sums), Block::Table(raised)];
    if fired > 0 {
        blocks.push(Block::Table(became));
    }
    blocks.push(Block::Note(about));
    Some(blocks)
}

pub fn offenders(digest: &Digest) -> Option<Vec<Block>> {
    let offenders = &digest.figures.offenders;
    if offenders.is_empty() {
        return None;
    }
    let (shown, more) = capped(offenders, "repeat offenders");
    let rows = shown.iter().map(|one| {
        vec![
            name(&words::resource(one)),
            name(&one.workspace_id),
            own(one.incidents),
            own(one.incidents_before),
            own(one.causes),
            own(words::failed_runs(one)),
            own(one.last_incident_id),
        ]
    });
    let columns = vec![
        column("Resource", Kind::Name(12)),
        column("Workspace", Kind::Name(9)),
        column("Week", Kind::Number),
        column("Before", Kind::Number),
        column("Causes", Kind::Number),
        column("Failed runs", Kind::Number),
        column("Latest", Kind::Word),
    ];
    let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(Block::Note(format!(
        "Incidents in the week, and in the four weeks before. Causes: different known ones of both. Failed runs: of those that \
         began in the week; n/a where none are known. {}",
        words::about_shares()
    )));
    Some(blocks)
}

pub fn prevention(digest: &Digest) -> Option<Vec<Block>> {
    let effects = &digest.figures.prevention;
    if effects.is_empty() {
        return None;
    }
    let zone = digest.week.zone();
    let (shown, more) = capped(effects, "preventive actions");
    let rows = shown.iter().map(|effect| {
        vec![
            name(&effect.action),
            own(effect.state),
            own(words::day(effect.adopted_at, zone)),
            own(effect.before),
            own(effect.after),
            own(format!("{:.0}", effect.days_after.floor())),
            name(digest.figures.root_cause(&effect.cause).unwrap_or(&effect.cause)),
        ]
    });
    let columns = vec![
        column("Action", Kind::Name(10)),
        column("State", Kind::Word),
        column("Adopted", Kind::Word),
        column("Before", Kind::Number),
        column("After", Kind::Number),
        column("Days", Kind::Number),
        column("Cause", Kind::Name(12)),
    ];
    let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(Block::Note(
        "Before: incidents with the cause in the 28 days before the action was adopted. After: in the 28 days after, of which \
         so many whole days were over by the end of the week."
            .into(),
    ));
    Some(blocks)
}
