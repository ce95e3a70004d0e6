//! The most important changes of a week, in a few sentences.

use std::cmp::Ordering;

use super::{age, cause_name, many, oldest, quoted};
use crate::domain::{
    check::CheckStatus,
    digest::{
        Figures, MIN_FOR_MEDIAN, MIN_FOR_PERCENT, NEW_CAUSE_WEEKS, WeekSpan, WeeklyCount,
        dimension::{Dimension, HourBand, Measure},
        in_percent,
    },
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
    time::spelled,
};

/// Maximum number of sentences.
const MAX_SENTENCES: usize = 6;
/// Minimum number of sentences; general sentences fill up a shorter list.
const MIN_SENTENCES: usize = 3;
/// Smallest relative change of a median that is mentioned.
const NOTABLE: f64 = 0.1;
/// Smallest number of ranks by which a cause must climb to be mentioned.
const CLIMB: u64 = 3;
/// Days after adoption in which an effective preventive action is mentioned: the compared days and one week.
const NEWS_DAYS: f64 = 28.0 + 7.0;

/// Rule that returns a sentence about the week, or `None` if it does not apply.
type SentenceRule = fn(&WeekSpan, &Figures) -> Option<String>;

/// Returns the changes, the most important first; never empty.
pub fn changed(week: &WeekSpan, figures: &Figures) -> Vec<String> {
    let news: [SentenceRule; 9] =
        [came_back, recurring, failing_checks, new_causes, resolving, climbed, nights, ended, effective];
    let general: [SentenceRule; 3] = [open, most_frequent, types];
    let no_incidents = figures.incidents() == 0;
    let mut sentences = total(week, figures);
    if no_incidents {
        sentences.extend(open(week, figures));
    }
    sentences.extend(news.iter().filter_map(|rule| rule(week, figures)));
    sentences.truncate(MAX_SENTENCES);
    let missing = MIN_SENTENCES.saturating_sub(sentences.len());
    if !no_incidents {
        sentences.extend(general.iter().filter_map(|rule| rule(week, figures)).take(missing));
    }
    sentences
}

fn total(week: &WeekSpan, figures: &Figures) -> Vec<String> {
    let count = figures.total();
    let incidents = figures.incidents();
    if incidents == 0 {
        let before = count.and_then(|count| match (count.previous?, known_median(count)) {
            (0, Some((0.0, _))) => None,
            (previous, Some((median, weeks))) => {
                Some(format!("The week before had {previous}, the median of the {weeks} weeks before is {median}."))
            }
            (previous, None) => Some(format!("The week before had {previous}.")),
        });
        return [format!("There were no incidents in {}.", week.week)].into_iter().chain(before).collect();
    }
    let previous = count.and_then(|count| count.previous).map(|previous| against(incidents, previous));
    let median = count.and_then(known_median).map(|(median, weeks)| {
        let than = match (incidents as f64).total_cmp(&median) {
            Ordering::Less => "fewer than",
            Ordering::Equal => "as many as",
            Ordering::Greater => "more than",
        };
        format!("{than} the median of the {weeks} weeks before ({median})")
    });
    let incidents = many(incidents, "incident");
    vec![match (previous, median) {
        (Some(previous), Some(median)) => format!("{incidents}, {previous} and {median}."),
        (Some(one), None) | (None, Some(one)) => format!("{incidents}, {one}."),
        (None, None) => format!("{incidents} in {}; nothing is known of the weeks before.", week.week),
    }]
}

/// Returns the median of the weeks before and their number, if there are at least three known weeks.
fn known_median(count: &WeeklyCount) -> Option<(f64, &'static str)> {
    let weeks = match count.weeks_before {
        4 => "four",
        weeks if u64::from(weeks) >= MIN_FOR_MEDIAN => "three known",
        _ => return None,
    };
    count.median_before.map(|median| (median, weeks))
}

/// Compares with the week before; as a ratio only if that week had enough incidents.
fn against(now: u64, before: u64) -> String {
    let ratio = (before >= MIN_FOR_PERCENT).then(|| (now as f64 / before as f64 * 10.0).round() / 10.0);
    let comparison = match ratio {
        Some(2.0) => "twice as many as".into(),
        Some(0.5) => "half as many as".into(),
        Some(ratio) if ratio > 1.5 => format!("{ratio} times as many as"),
        _ => match now.cmp(&before) {
            Ordering::Less => format!("{} fewer than", before - now),
            Ordering::Equal => return "as many as the week before".into(),
            Ordering::Greater => format!("{} more than", now - before),
        },
    };
    format!("{comparison} the week before ({before})")
}

/// A cause that occurred in the week although a preventive action was adopted.
fn came_back(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let mut again =
        figures.prevention.iter().filter(|effect| effect.state == PreventionState::Recurred).filter_map(|effect| {
            Some((effect, figures.causes.iter().find(|cause| cause.cause == effect.cause && cause.incidents > 0)?))
        });
    let (effect, cause) = again.next()?;
    let others = again.count() as u64;
    let more =
        if others > 0 { format!("; so did {} after other actions", many(others, "cause")) } else { String::new() };
    let (name, action) = (quoted(&cause.root_cause), quoted(&effect.action));
    Some(format!("{name} came back after {action} was adopted: {}{more}.", many(cause.incidents, "incident")))
}

fn recurring(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let new = || figures.recurring.iter().filter(|issue| issue.is_new && issue.event != EpisodeEvent::Closed);
    // The first of the largest issues.
    let largest = new().rev().max_by_key(|issue| issue.occurrences)?;
    let (name, incidents) = (quoted(&largest.root_cause), many(largest.occurrences, "incident"));
    Some(match new().count() {
        1 => format!("{name} became a recurring issue: {incidents} so far."),
        count => format!("{count} issues became recurring; the largest is {name} with {incidents} so far."),
    })
}

/// Categories with a FAIL in the week that were checked the week before without a FAIL.
fn failing_checks(week: &WeekSpan, figures: &Figures) -> Option<String> {
    let before = week.calendar().earlier(1).start();
    let sum = |start, category: &str, status: Option<CheckStatus>| -> u64 {
        let checks = figures.checks.iter().filter(|check| check.week_start == start && check.category == category);
        checks.filter(|check| status.is_none_or(|status| check.status == status)).map(|check| check.checks).sum()
    };
    let failing = figures.checks.iter().filter(|check| {
        check.week_start == week.start
            && check.status == CheckStatus::Fail
            && check.checks > 0
            && sum(before, &check.category, None) > 0
            && sum(before, &check.category, Some(CheckStatus::Fail)) == 0
    });
    let categories: Vec<String> = failing
        .map(|check| {
            let (now, then) = (sum(week.start, &check.category, None), sum(before, &check.category, None));
            format!("{} ({} of {now}, none of {then} the week before)", quoted(&check.category), check.checks)
        })
        .collect();
    let (shown, rest) = categories.split_at(categories.len().min(2));
    let more = match rest.len() {
        0 => String::new(),
        1 => ", and 1 more category".into(),
        more => format!(", and {more} more categories"),
    };
    (!shown.is_empty()).then(|| format!("Checks started to fail in {}{more}.", shown.join(", ")))
}

/// New causes. In a lake's first week every cause would be new, so it has none.
fn new_causes(_: &WeekSpan, figures: &Figures) -> Option<String> {
    figures.total().filter(|total| total.weeks_before > 0)?;
    let mut new = figures.causes.iter().filter(|cause| cause.is_new);
    let first = new.next()?;
    let (name, incidents) = (quoted(&first.root_cause), many(first.incidents, "incident"));
    let unseen = format!("not seen in the {NEW_CAUSE_WEEKS} weeks before");
    Some(match new.count() {
        0 => format!("{name} is a new cause ({unseen}): {incidents}."),
        others => format!("{} causes are new ({unseen}); the most frequent is {name} with {incidents}.", others + 1),
    })
}

fn climbed(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let shares_first = figures.causes.iter().filter(|cause| cause.rank == 1).count() > 1;
    figures.causes.iter().find_map(|cause| {
        let before = cause.previous_rank?;
        let to_the_top = cause.rank == 1 && before > 1 && !shares_first;
        let climbed = before.saturating_sub(cause.rank) >= CLIMB;
        if cause.incidents <= cause.previous_incidents || !(to_the_top || climbed) {
            return None;
        }
        let place =
            if to_the_top { "the most frequent cause".into() } else { format!("number {} of the causes", cause.rank) };
        Some(format!(
            "{} is now {place} with {}; it was number {before} with {} the week before.",
            quoted(&cause.root_cause),
            many(cause.incidents, "incident"),
            cause.previous_incidents,
        ))
    })
}

fn resolving(week: &WeekSpan, figures: &Figures) -> Option<String> {
    let this = week.calendar();
    let now = figures.duration(this, Measure::Resolve)?;
    let before = figures.duration(this.earlier(1), Measure::Resolve)?;
    let (p50, was) = (now.p50_known_s()?, before.p50_known_s()?);
    if (p50 - was).abs() < was.abs() * NOTABLE || p50 == was {
        return None;
    }
    Some(format!(
        "The median time to resolve (report to first resolution) {} to {} (n={}) from {} the week before (n={}).",
        if p50 > was { "rose" } else { "fell" },
        spelled(p50)?,
        now.n,
        spelled(was)?,
        before.n,
    ))
}

fn nights(week: &WeekSpan, figures: &Figures) -> Option<String> {
    let night = figures.load.iter().find(|load| load.band == HourBand::Night)?;
    let hours = format!("22:00 to 05:59 {}", week.zone());
    if night.alerts > 0 {
        let all = figures.load.iter().map(|load| load.alerts).sum();
        let urgent = match night.urgent_alerts {
            0 => String::new(),
            urgent => format!(", {urgent} of them HIGH or CRITICAL"),
        };
        return Some(format!("{} fired at night ({hours}){urgent}.", counted(night.alerts, all, "alert")));
    }
    let all = figures.load.iter().map(|load| load.incidents).sum();
    (night.incidents > 0).then(|| format!("{} came at night ({hours}).", counted(night.incidents, all, "incident")))
}

/// Returns a text such as `5 of 14 alerts`, `8 of 23 incidents (35 %)` or `The only alert`.
fn counted(part: u64, whole: u64, what: &str) -> String {
    if whole == 1 {
        return format!("The only {what}");
    }
    format!("{part} of {whole} {what}s{}", in_percent(part, whole))
}

fn ended(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let mut ended = figures.recurring.iter().filter(|issue| issue.event == EpisodeEvent::Closed);
    let first = ended.next()?;
    let name = quoted(&first.root_cause);
    Some(match ended.count() {
        0 => format!("{name} is no longer a recurring issue."),
        others => format!("{} issues are no longer recurring, among them {name}.", others + 1),
    })
}

fn effective(week: &WeekSpan, figures: &Figures) -> Option<String> {
    let effect = figures.prevention.iter().find(|effect| {
        let days = week.end.seconds_since(effect.adopted_at) / 86_400.0;
        effect.state == PreventionState::Effective && effect.before > effect.after && days < NEWS_DAYS
    })?;
    let since = spelled(effect.days_after * 86_400.0)?;
    Some(format!(
        "{} works against {}: {} in the {since} since it was adopted, {} in the 28 days before.",
        quoted(&effect.action),
        cause_name(figures, &effect.cause),
        many(effect.after, "incident"),
        effect.before,
    ))
}

fn open(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let open = oldest(figures);
    let Some(oldest) = open.first() else {
        return Some("No incident was open at the end of the week.".into());
    };
    let (id, age) = (oldest.incident_id, age(oldest));
    Some(match open.len() {
        1 => format!("1 incident was open at the end of the week: {id}, {age} old."),
        count => format!("{count} incidents were open at the end of the week; the oldest is {id}, {age} old."),
    })
}

fn most_frequent(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let cause = figures.causes.first()?;
    Some(format!("The most frequent cause is {}: {}.", quoted(&cause.root_cause), many(cause.incidents, "incident")))
}

fn types(_: &WeekSpan, figures: &Figures) -> Option<String> {
    let types = figures.counts.iter().filter(|count| count.dimension == Dimension::Type && count.incidents > 0);
    let counts: Vec<String> = types.map(|count| format!("{} {}", count.incidents, count.value)).collect();
    (!counts.is_empty()).then(|| format!("By type: {}.", counts.join(", ")))
}
