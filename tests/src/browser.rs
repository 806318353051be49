//! A page in a real browser: headless Chromium, which is controlled with the DevTools protocol.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_servers::{Chromium, npm_package};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The view of the page.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Whether the browser prefers the dark color scheme.
    pub dark: bool,
    /// The browser's language.
    pub language: &'static str,
}

/// A browser with one page.
pub struct Browser {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: u64,
    session: String,
    /// Exceptions and violations of the page's policy.
    problems: Vec<String>,
    // Declared after the child, which writes into it, so that the child is dropped first.
    _profile: TempDir,
}

impl Browser {
    /// Opens the page at this URL.
    pub async fn open(url: &str, view: View) -> Result<Self> {
        let profile = TempDir::new()?;
        let mut child = start(&profile, view)?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
        let mut browser = Self {
            _child: child,
            input,
            output: BufReader::new(output),
            next_id: 0,
            session: String::new(),
            problems: Vec::new(),
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"})).await?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach).await?;
        browser.session = session["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Runtime", "Log", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        let View { width, height, dark, .. } = view;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        browser.call("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = json!({"name": "prefers-color-scheme",
            "value": if dark { "dark" } else { "light" }});
        browser.call("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await?;
        browser.call("Page.navigate", json!({"url": url})).await?;
        Ok(browser)
    }

    /// The value of an expression in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params).await?;
        if let Some(exception) = result.get("exceptionDetails") {
            bail!("{expression}: {exception}");
        }
        Ok(result["result"]["value"].clone())
    }

    /// Waits, in the page, until an expression is true.
    pub async fn until(&mut self, condition: &str) -> Result<()> {
        crate::in_time_mut(condition, self, async |browser| {
            (browser.evaluate(condition).await.ok() == Some(Value::Bool(true))).then_some(())
        })
        .await
    }

    /// The accessibility errors that axe-core finds, one line for each rule.
    pub async fn accessibility_violations(&mut self) -> Result<Vec<String>> {
        let axe = npm_package("axe-core", "4.14.1")?.join("axe.min.js");
        self.evaluate(&format!("{}; true", std::fs::read_to_string(axe)?)).await?;
        let found = self.evaluate("axe.run().then((result) => result.violations)").await?;
        let found = found.as_array().context("axe-core has no result")?;
        let line = |violation: &Value| {
            format!("{}: {}", violation["id"], violation["nodes"][0]["failureSummary"])
        };
        Ok(found.iter().map(line).collect())
    }

    /// Writes a picture of the whole page.
    pub async fn screenshot(&mut self, file: &Path) -> Result<()> {
        let params = json!({"captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", params).await?;
        let data = picture["data"].as_str().unwrap_or_default();
        std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(data)?)?;
        Ok(())
    }

    /// Exceptions, and actions that the page's policy denied.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next_id += 1;
        let mut message = json!({"id": self.next_id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).await?;
        loop {
            let mut bytes = Vec::new();
            self.output.read_until(0, &mut bytes).await?;
            if bytes.pop() != Some(0) {
                bail!("the browser ended during {method}");
            }
            let mut message: Value = serde_json::from_slice(&bytes)?;
            if message["id"] == self.next_id {
                if let Some(error) = message.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(message["result"].take());
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let entry = &message["params"]["entry"];
        let is_forbidden = entry["source"] == "security"
            || entry["text"].as_str().is_some_and(|text| text.contains("Content Security Policy"));
        if message["method"] == "Runtime.exceptionThrown" || is_forbidden {
            self.problems.push(message["params"].to_string());
        }
    }
}

/// Chromium reads commands from descriptor 3 and answers on 4, which the shell makes of the
/// standard ones.
fn start(profile: &TempDir, view: View) -> Result<Child> {
    let chromium = Chromium::find()?.command();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"]);
    command.arg(chromium.get_program());
    for (name, value) in chromium.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let mut data = std::ffi::OsString::from("--user-data-dir=");
    data.push(profile.path());
    command.args(["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]);
    command.arg(data).arg(format!("--accept-lang={}", view.language)).arg("about:blank");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    child.context("cannot run sh")
}
