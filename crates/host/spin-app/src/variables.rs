//! Spin variables: declared by the application, set from outside, and used in templates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::App;
use crate::Error;
use crate::app::Declaration;

/// The values of an application's variables.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    /// The declared variables that have no value.
    missing: BTreeSet<String>,
    /// The variables whose values must not be shown.
    secret: BTreeSet<String>,
}

impl fmt::Debug for Variables {
    /// Prints only the names, because values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Variables {
    /// Gives each declared variable the value that `find` returns, or its default. One without either is an
    /// error only where it is used, because the components that use it may not run here.
    pub fn resolve(
        declared: &BTreeMap<String, Declaration>,
        find: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut variables = Self::default();
        for (name, declaration) in declared {
            match find(name).or_else(|| declaration.default.clone()) {
                Some(value) => {
                    variables.values.insert(name.clone(), value);
                }
                None => {
                    variables.missing.insert(name.clone());
                }
            }
            if declaration.secret {
                variables.secret.insert(name.clone());
            }
        }
        variables
    }

    /// Fails if the application uses a variable without a value.
    pub fn check(&self, app: &App) -> Result<(), Error> {
        let mut used = self.missing.iter().filter(|name| app.uses(name));
        used.next().map_or(Ok(()), |name| Err(required(name)))
    }

    /// The value of a variable; `None` if it has none, or the application does not declare it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a template contains a variable whose value must not be shown.
    pub fn has_secret(&self, template: &str) -> bool {
        self.secret.iter().any(|name| uses(template, name))
    }

    /// Replaces each `{{ name }}` in `template` by the variable's value.
    pub fn render(&self, template: &str) -> Result<String, Error> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (name, after) = after.split_once("}}").ok_or_else(|| Error::Variable {
                name: after.trim().into(),
                message: format!("`{{{{` without `}}}}` in `{template}`"),
            })?;
            let name = name.trim();
            let value = self.values.get(name).ok_or_else(|| match self.missing.contains(name) {
                true => required(name),
                false => Error::Variable {
                    name: name.into(),
                    message: format!("used in `{template}`, but not declared in [variables]"),
                },
            })?;
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Renders every value of a map.
    pub fn render_all(
        &self,
        templates: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        templates
            .iter()
            .map(|(name, template)| Ok((name.clone(), self.render(template)?)))
            .collect()
    }

    /// Renders every string in a map, at any depth.
    pub fn render_map(&self, map: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        map.iter().map(|(key, value)| Ok((key.clone(), self.render_value(value)?))).collect()
    }

    fn render_value(&self, value: &Value) -> Result<Value, Error> {
        Ok(match value {
            Value::String(template) => Value::String(self.render(template)?),
            Value::Array(items) => Value::Array(
                items.iter().map(|item| self.render_value(item)).collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Value::Object(self.render_map(map)?),
            other => other.clone(),
        })
    }
}

fn required(name: &str) -> Error {
    Error::Variable {
        name: name.into(),
        message: format!(
            "required; give it as --variable {name}=… or in SPIN_VARIABLE_{}",
            name.to_ascii_uppercase()
        ),
    }
}

/// Whether a template contains this variable.
pub(crate) fn uses(template: &str, variable: &str) -> bool {
    let names = template.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    names.into_iter().any(|(name, _)| name.trim() == variable)
}

/// Whether a string in the value, at any depth, contains this variable.
pub(crate) fn value_uses(value: &Value, variable: &str) -> bool {
    match value {
        Value::String(template) => uses(template, variable),
        Value::Array(items) => items.iter().any(|item| value_uses(item, variable)),
        Value::Object(map) => map.values().any(|item| value_uses(item, variable)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Declaration> {
        let with = |default: Option<&str>| Declaration {
            default: default.map(Into::into),
            ..Declaration::default()
        };
        BTreeMap::from([("host".into(), with(Some("localhost"))), ("token".into(), with(None))])
    }

    fn resolve(pairs: &[(&str, &str)]) -> Variables {
        Variables::resolve(&declared(), |name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn a_default_is_for_what_nobody_gives() {
        let v = resolve(&[("token", "t")]);
        assert_eq!(v.render("{{host}}:{{ token }}!").unwrap(), "localhost:t!");
        let v = resolve(&[("token", "t"), ("host", "given")]);
        assert_eq!(v.render("{{ host }}").unwrap(), "given");
    }

    #[test]
    fn faults_name_the_variable() {
        let missing = resolve(&[]).render("{{ host }} {{ token }}").unwrap_err();
        assert!(missing.to_string().contains("SPIN_VARIABLE_TOKEN"), "{missing}");
        let v = resolve(&[("token", "t")]);
        assert!(v.render("{{ nope }}").unwrap_err().to_string().contains("`nope`"));
        assert!(v.render("{{ host").is_err());
    }

    #[test]
    fn values_are_not_shown() {
        let v = resolve(&[("token", "hunter2")]);
        assert!(!format!("{v:?}").contains("hunter2"));
    }

    #[test]
    fn a_variable_without_a_value_is_an_error_only_if_it_is_used() {
        let manifest = r#"
            spin_manifest_version = 2
            [application]
            name = "parts"
            [variables]
            topic = { required = true }
            keys = { required = true, secret = true }
            unused = { required = true }
            [[trigger.kafka]]
            topic = "{{ topic }}"
            component = "worker"
            [[trigger.http]]
            route = "/..."
            component = "gateway"
            dependencies.middleware = [{ component = "jwt", inherit_configuration = ["variables"] }]
            [component.gateway]
            source = "gateway.wasm"
            variables = { jwt_keys = "{{ keys }}" }
            [component.jwt]
            source = "jwt.wasm"
            [component.worker]
            source = "worker.wasm"
        "#;
        let app = crate::manifest::parse(std::path::Path::new("spin.toml"), manifest).unwrap();
        let check = |components: &[&str], given: &[&str]| {
            let mut app = app.clone();
            let kept: Vec<String> = components.iter().map(|&id| id.into()).collect();
            app.retain_components(&kept).unwrap();
            let value = |name: &str| given.contains(&name).then(|| "v".into());
            let checked = Variables::resolve(&app.variables, value).check(&app);
            checked.map_err(|error| error.to_string())
        };
        check(&["worker"], &["topic"]).unwrap();
        check(&["gateway"], &["keys"]).unwrap();
        check(&["gateway", "worker"], &["topic", "keys"]).unwrap();
        assert!(check(&["worker"], &["keys"]).unwrap_err().contains("--variable topic=…"));
        assert!(check(&["gateway"], &["topic"]).unwrap_err().contains("--variable keys=…"));
    }
}
