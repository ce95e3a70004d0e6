//! Sections with work to do: recurring issues, open incidents, alerts, repeat offenders, preventive actions.

use super::{
    ColumnKind, MOST_ROWS, OutlineBlock, OutlineItem, OutlineTable, TextFragment, capped, column, labels, maybe, name,
    own,
};
use crate::{
    domain::digest::{Digest, MIN_FOR_MEDIAN},
    render::plain::{NA, duration, na},
};

pub fn recurring(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let issues = &digest.figures.recurring;
    if issues.is_empty() {
        return None;
    }
    let zone = digest.week.zone();
    let (shown, more) = capped(issues, "recurring issues");
    let items = shown.iter().map(|issue| {
        let (first, last) = (labels::moment(issue.first_at, zone), labels::moment(issue.last_at, zone));
        let incidents = if issue.occurrences == 1 { "incident" } else { "incidents" };
        let about = format!(
            " ({}): {} {incidents}, {first} to {last}, recurring since {}",
            labels::issue_state(issue),
            issue.occurrences,
            issue.incident_id
        );
        let (actions, rest) = issue.actions.split_at(issue.actions.len().min(MOST_ROWS));
        let actions = actions.iter().map(|action| {
            OutlineItem::of(vec![
                own(format!("{}: ", action.state)),
                name(&action.title),
                own(" ("),
                name(&action.action),
                own(")"),
            ])
        });
        let none = issue.actions.is_empty().then(|| OutlineItem::of(vec![own("no preventive action is known")]));
        let rest = (!rest.is_empty())
            .then(|| OutlineItem::of(vec![own(format!("{} more actions are not shown", rest.len()))]));
        OutlineItem {
            fragments: vec![name(&issue.episode_id), own(about)],
            command: None,
            below: [OutlineItem::of(vec![name(&issue.root_cause)])]
                .into_iter()
                .chain(actions)
                .chain(none)
                .chain(rest)
                .collect(),
        }
    });
    let mut blocks = vec![OutlineBlock::Items(items.collect())];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(
        "Open at the end of the week, or closed in it: the same root cause reached the threshold within the configured window. \
         Below each: the cause, then preventive actions with their state."
            .into(),
    ));
    Some(blocks)
}

pub fn open(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let open = &digest.figures.open;
    if open.is_empty() {
        return None;
    }
    let oldest = labels::oldest(open);
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
        column("Incident", ColumnKind::Word),
        column("Age", ColumnKind::Number),
        column("Type", ColumnKind::Word),
        column("Ack", ColumnKind::Word),
        column("Resource", ColumnKind::Name(8)),
        column("Title", ColumnKind::Name(10)),
    ];
    let mut blocks = vec![
        OutlineBlock::Note(format!("{} open at the end of the week: {}.", open.len(), labels::ages(open))),
        OutlineBlock::Table(OutlineTable { columns, rows: rows.collect() }),
    ];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(
        "Oldest first. Age: from the report to the end of the week. Ack: acknowledged by then.".into(),
    ));
    Some(blocks)
}

pub fn escalations(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let alerts = &digest.figures.escalations;
    if alerts.is_empty() {
        return None;
    }
    let kind = || [column("Severity", ColumnKind::Word), column("Trigger", ColumnKind::Word)];
    let numbers = |titles: &[&str]| -> Vec<_> {
        kind().into_iter().chain(titles.iter().map(|title| column(*title, ColumnKind::Number))).collect()
    };
    let raised = OutlineTable {
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
                [own(row.severity), own(row.trigger)].into_iter().chain(counts.map(TextFragment::Own)).collect()
            })
            .collect(),
    };
    let states = OutlineTable {
        columns: numbers(&["Fired", "Acknowledged", "Resolved", "Open", "p50 to ack"]),
        rows: alerts
            .iter()
            .filter(|row| row.fired > 0)
            .map(|row| {
                let median = row.acknowledge_p50_s.filter(|_| row.acknowledged >= MIN_FOR_MEDIAN);
                let counts = [row.fired, row.acknowledged, row.resolved, row.open].map(own);
                [own(row.severity), own(row.trigger)].into_iter().chain(counts).chain([own(duration(median))]).collect()
            })
            .collect(),
    };
    let [fired, unrouted, suppressed, acknowledged, resolved, open] = labels::alert_sums(&digest.figures);
    let sums = format!(
        "{fired} fired, of them {unrouted} unrouted, {acknowledged} acknowledged, {resolved} resolved, {open} open; \
         {suppressed} suppressed."
    );
    let about = format!(
        "Fired: alerts that were to be sent. Sent, failed: notifications delivered, and given up; {NA} if none was tried. \
         Unrouted: no route matched, so no notification was sent. Suppressed: the trigger held, but the alert was suppressed. \
         Second table: the state of fired alerts at the end of the week. p50 to ack: median from firing to acknowledgement, \
         {NA} below {MIN_FOR_MEDIAN} acknowledged."
    );
    let mut blocks = vec![OutlineBlock::Note(sums), OutlineBlock::Table(raised)];
    if fired > 0 {
        blocks.push(OutlineBlock::Table(states));
    }
    blocks.push(OutlineBlock::Note(about));
    Some(blocks)
}

pub fn offenders(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let offenders = &digest.figures.offenders;
    if offenders.is_empty() {
        return None;
    }
    let (shown, more) = capped(offenders, "repeat offenders");
    let rows = shown.iter().map(|one| {
        vec![
            name(&labels::resource(one)),
            name(&one.workspace_id),
            own(one.incidents),
            own(one.incidents_before),
            own(one.causes),
            own(labels::failed_runs(one)),
            own(one.last_incident_id),
        ]
    });
    let columns = vec![
        column("Resource", ColumnKind::Name(12)),
        column("Workspace", ColumnKind::Name(9)),
        column("Week", ColumnKind::Number),
        column("Before", ColumnKind::Number),
        column("Causes", ColumnKind::Number),
        column("Failed runs", ColumnKind::Number),
        column("Latest", ColumnKind::Word),
    ];
    let mut blocks = vec![OutlineBlock::Table(OutlineTable { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(format!(
        "Incidents in the week, and in the four weeks before. Causes: distinct known causes of both. Failed runs: of the runs \
         that began in the week; n/a if no runs are known. {}",
        labels::about_shares()
    )));
    Some(blocks)
}

pub fn prevention(digest: &Digest) -> Option<Vec<OutlineBlock>> {
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
            own(labels::day(effect.adopted_at, zone)),
            own(effect.before),
            own(effect.after),
            own(format!("{:.0}", effect.days_after.floor())),
            name(digest.figures.root_cause(&effect.cause).unwrap_or(&effect.cause)),
        ]
    });
    let columns = vec![
        column("Action", ColumnKind::Name(10)),
        column("State", ColumnKind::Word),
        column("Adopted", ColumnKind::Word),
        column("Before", ColumnKind::Number),
        column("After", ColumnKind::Number),
        column("Days", ColumnKind::Number),
        column("Cause", ColumnKind::Name(12)),
    ];
    let mut blocks = vec![OutlineBlock::Table(OutlineTable { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(
        "Before: incidents with the cause in the 28 days before the action was adopted. After: in the 28 days after. Days: whole \
         days of them that had passed by the end of the week."
            .into(),
    ));
    Some(blocks)
}
