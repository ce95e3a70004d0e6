pub fn markdown(_r: &super::timeline::IncidentRecord, _x: Option<&str>) -> String {
    String::new()
}
