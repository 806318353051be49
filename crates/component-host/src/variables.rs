//! Spin variables: declared by the application, given from outside, used in templates.

use std::collections::BTreeMap;
use std::fmt;

use crate::Error;
use crate::app::Declaration;

/// The resolved variables of an application.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Variables {
    /// Gives each declared variable its value: from `given` (`--variable`), else from the
    /// environment as `SPIN_VARIABLE_<NAME>`, else its default, which is Spin's order.
    pub fn resolve(
        declared: &BTreeMap<String, Declaration>,
        given: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
            let message = "not declared in the application's [variables]".into();
            return Err(Error::Variable { name: name.clone(), message });
        }
        let mut values = BTreeMap::new();
        for (name, declaration) in declared {
            let key = format!("SPIN_VARIABLE_{}", name.to_uppercase());
            let value = given
                .get(name)
                .cloned()
                .or_else(|| environment(&key))
                .or_else(|| declaration.default.clone())
                .ok_or_else(|| Error::Variable {
                    name: name.clone(),
                    message: format!("required; give it as --variable {name}=… or in {key}"),
                })?;
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
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
            let value = self.0.get(name).ok_or_else(|| Error::Variable {
                name: name.into(),
                message: format!("used in `{template}`, but not declared in [variables]"),
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

    /// Renders every string inside a table, however deep.
    pub fn render_table(&self, table: &toml::Table) -> Result<toml::Table, Error> {
        table.iter().map(|(key, value)| Ok((key.clone(), self.render_value(value)?))).collect()
    }

    fn render_value(&self, value: &toml::Value) -> Result<toml::Value, Error> {
        Ok(match value {
            toml::Value::String(template) => toml::Value::String(self.render(template)?),
            toml::Value::Array(items) => toml::Value::Array(
                items.iter().map(|item| self.render_value(item)).collect::<Result<_, _>>()?,
            ),
            toml::Value::Table(table) => toml::Value::Table(self.render_table(table)?),
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Declaration> {
        let with =
            |default: Option<&str>| Declaration { default: default.map(Into::into), secret: false };
        BTreeMap::from([("host".into(), with(Some("localhost"))), ("token".into(), with(None))])
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn order_is_given_then_environment_then_default() {
        let env = |key: &str| (key == "SPIN_VARIABLE_HOST").then(|| "from-env".to_string());
        let given_token = given(&[("token", "t")]);
        let v = Variables::resolve(&declared(), &given_token, env).unwrap();
        assert_eq!(v.render("{{host}}:{{ token }}!").unwrap(), "from-env:t!");
        let both = given(&[("token", "t"), ("host", "given")]);
        let v = Variables::resolve(&declared(), &both, env).unwrap();
        assert_eq!(v.render("{{ host }}").unwrap(), "given");
        let v = Variables::resolve(&declared(), &given_token, |_| None).unwrap();
        assert_eq!(v.render("{{ host }}").unwrap(), "localhost");
    }

    #[test]
    fn faults_name_the_variable() {
        let missing = Variables::resolve(&declared(), &given(&[]), |_| None).unwrap_err();
        assert!(missing.to_string().contains("SPIN_VARIABLE_TOKEN"), "{missing}");
        let unknown = Variables::resolve(&declared(), &given(&[("tokn", "x")]), |_| None);
        assert!(unknown.unwrap_err().to_string().contains("`tokn`"));
        let v = Variables::resolve(&declared(), &given(&[("token", "t")]), |_| None).unwrap();
        assert!(v.render("{{ nope }}").unwrap_err().to_string().contains("`nope`"));
        assert!(v.render("{{ host").is_err());
    }

    #[test]
    fn values_are_not_shown() {
        let v = Variables::resolve(&declared(), &given(&[("token", "hunter2")]), |_| None).unwrap();
        assert!(!format!("{v:?}").contains("hunter2"));
    }
}
