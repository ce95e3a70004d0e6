use super::*;

fn column(name: &str, type_name: &str) -> Column {
    serde_json::from_value(serde_json::json!({ "name": name, "position": 0, "type_name": type_name })).unwrap()
}

#[test]
fn timestamps_and_nothing_else_travel_as_text() {
    let columns = [column("cause", "STRING"), column("a`b", "TIMESTAMP"), column("n", "LONG")];
    assert_eq!(
        exact("SELECT 1 -- two", &columns),
        "SELECT asked.`cause`, CAST(asked.`a``b` AS STRING) AS `a``b`, asked.`n` FROM (\nSELECT 1 -- two\n) AS asked"
    );
}

#[test]
fn values_carry_their_type() {
    let told = |value: Value| {
        let Parameter { value, kind, .. } = parameter("x", &value);
        (value, kind)
    };
    assert_eq!(told("a'; --\\".into()), ("a'; --\\".into(), "STRING"));
    assert_eq!(told(Value::Int(-3)), ("-3".into(), "INT"));
    assert_eq!(told(Value::Int(i64::MAX)), ("9223372036854775807".into(), "BIGINT"));
    let at = |text: &str| told(Value::Timestamp(text.parse().unwrap()));
    assert_eq!(at("2026-02-11T13:36:00.000001+01:00"), ("2026-02-11T12:36:00.000001Z".into(), "TIMESTAMP"));
    assert_eq!(at("2026-02-11T12:36:00Z"), ("2026-02-11T12:36:00.000000Z".into(), "TIMESTAMP"));
}

#[test]
fn the_moments_of_the_clock_are_those_of_its_text() {
    for (moment, text) in MOMENTS.into_iter().zip(["2026-01-15T00:00:00Z", "2026-07-15T00:00:00Z"]) {
        assert_eq!(DateTime::parse_from_rfc3339(text).unwrap().timestamp(), moment);
    }
}
