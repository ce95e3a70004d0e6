use super::*;

#[test]
fn credentials_are_replaced_five_minutes_before_expiry_or_after_two_thirds_of_a_short_lifetime() {
    for (left, expected) in [(3_600, 3_300), (900, 600), (600, 400), (3, 2), (0, 0)] {
        assert_eq!(replace_after(Duration::from_secs(left)), Duration::from_secs(expected), "{left} s");
    }
}
