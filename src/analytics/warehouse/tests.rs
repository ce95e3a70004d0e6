use super::*;

fn column(name: &str, type_name: &str) -> StatementColumn {
    serde_json::from_value(serde_json::json!({ "name": name, "position": 0, "type_name": type_name })).unwrap()
}

#[test]
fn only_timestamps_are_cast_to_text() {
    let columns = [column("cause", "STRING"), column("a`b", "TIMESTAMP"), column("n", "LONG")];
    assert_eq!(
        exact("SELECT 1 -- two", &columns),
        "SELECT asked.`cause`, CAST(asked.`a``b` AS STRING) AS `a``b`, asked.`n` FROM (\nSELECT 1 -- two\n) AS asked"
    );
}

#[test]
fn values_carry_their_type() {
    let sent = |value: ParameterValue| {
        let StatementParameter { value, kind, .. } = parameter("x", &value);
        (value, kind)
    };
    assert_eq!(sent("a'; --\\".into()), ("a'; --\\".into(), "STRING"));
    assert_eq!(sent(ParameterValue::Int(-3)), ("-3".into(), "INT"));
    assert_eq!(sent(ParameterValue::Int(i64::MAX)), ("9223372036854775807".into(), "BIGINT"));
    let at = |text: &str| sent(ParameterValue::Timestamp(text.parse().unwrap()));
    assert_eq!(at("2026-02-11T13:36:00.000001+01:00"), ("2026-02-11T12:36:00.000001Z".into(), "TIMESTAMP"));
    assert_eq!(at("2026-02-11T12:36:00Z"), ("2026-02-11T12:36:00.000000Z".into(), "TIMESTAMP"));
}

#[test]
fn the_expected_timestamps_match_the_test_query() {
    for (moment, text) in CLOCK_SECONDS.into_iter().zip(["2026-01-15T00:00:00Z", "2026-07-15T00:00:00Z"]) {
        assert_eq!(DateTime::parse_from_rfc3339(text).unwrap().timestamp(), moment);
    }
}
