use super::*;

const FILE: &str = "\
-- What:       what it says. It goes
--             on. And on.
-- Grain:      one row per thing.
-- Parameters: :as_of      TIMESTAMP; what came later
--                         is left out.
--             :threshold  INT, at least 1.
--             :cause      STRING
-- Columns:
--   first, second  two of them, with
--                  two  blanks.
--   …              all columns of a view.
SELECT 1 -- What: not this
-- nor this
";

#[test]
fn a_header_is_parsed_to_its_end_and_no_further() {
    let header = SqlHeader::of(FILE);
    assert_eq!(header.what, "what it says. It goes on. And on.");
    assert_eq!(header.summary(), "what it says");
    assert_eq!(header.grain, "one row per thing.");
    let parameters: Vec<_> =
        header.parameters.iter().map(|it| (it.name.as_str(), it.kind, it.meaning.as_str())).collect();
    assert_eq!(
        parameters,
        [
            ("as_of", ParameterKind::Timestamp, "what came later is left out."),
            ("threshold", ParameterKind::Int, "at least 1."),
            ("cause", ParameterKind::Text, ""),
        ]
    );
    let columns: Vec<_> = header.columns.iter().map(|it| (it.names.join("+"), it.meaning.as_str())).collect();
    assert_eq!(
        columns,
        [("first+second".into(), "two of them, with two  blanks."), ("…".into(), "all columns of a view.")]
    );
    assert!(body(FILE).starts_with("SELECT 1") && body(FILE).ends_with("-- nor this\n"));
    assert_eq!((SqlHeader::of("SELECT 1"), body("SELECT 1")), (SqlHeader::default(), "SELECT 1"));
    assert_eq!(SqlHeader::of("-- What:       one sentence.").summary(), "one sentence");
}

#[test]
fn values_have_the_type_in_the_header() {
    let whole = |text: &str| ParameterKind::Int.parse(text);
    assert_eq!(whole("-7"), Ok(ParameterValue::Int(-7)));
    assert!(whole("7.5").is_err() && whole("").is_err() && whole("2147483648").is_err());
    assert_eq!(ParameterKind::Bigint.parse("2147483648"), Ok(ParameterValue::Int(2_147_483_648)));
    assert!(ParameterKind::Timestamp.parse("2026-02-16").unwrap_err().contains("RFC 3339"));
    let moment = "2026-02-16T00:00:00Z";
    assert_eq!(ParameterKind::Timestamp.parse(moment), Ok(ParameterValue::Timestamp(moment.parse().unwrap())));
    assert_eq!(ParameterKind::Text.parse("'; --"), Ok(ParameterValue::Text("'; --".into())));
}
