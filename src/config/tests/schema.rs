use super::*;

#[test]
#[cfg(all(feature = "http", feature = "postgres", feature = "sqlite"))]
fn the_schema_in_the_repository_is_the_one_of_this_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/tidegate.schema.json");
    let now = format!("{:#}\n", crate::config::schema());
    if std::env::var_os("TIDEGATE_WRITE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == now,
        "schema/tidegate.schema.json is out of date: tidegate schema > schema/tidegate.schema.json"
    );
}

#[test]
fn every_section_and_adapter_is_in_the_schema_and_nothing_else_is_allowed() {
    let schema = crate::config::schema::of(&fake::REGISTRY);
    assert_eq!(schema["additionalProperties"], false);
    for section in SECTIONS {
        assert!(schema["properties"].get(section).is_some(), "{section}");
    }
    let text = schema.to_string();
    for name in ["haproxy", "postgres", "scrape", "run", "sql", "http", "file"] {
        assert!(text.contains(&format!("\"required\":[\"{name}\"]")), "{name}");
    }
    let forms = schema.pointer("/properties/services/additionalProperties/anyOf").unwrap();
    assert!(forms.as_array().unwrap().iter().all(|form| form["additionalProperties"] == false), "{forms:#}");
}
