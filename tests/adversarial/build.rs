//! From a file of `cases/` to what is given to the host.
//!
//! Lines that begin with a comment mark and a keyword are replaced: `include: NAME` by
//! `parts/NAME.wat`, `repeat: N TEXT` by N times TEXT.
//! The first line of a WAT file says what it is:
//! - `;; world: NAME`: a core module that exports the functions of that world under their canonical
//!   names; it is made a component as `wit-component` does.
//! - `;; component`: a whole component.
//! - `;; beside: PART`: fields of a component, put after those of the strategy `parts/PART.wat`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::table::Row;

/// The bytes of a row's file, as the host finds them.
pub fn bytes(directory: &Path, row: &Row) -> Result<Vec<u8>> {
    let path = directory.join("cases").join(&row.file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = expanded(directory, &text)?;
    let mut bytes = if row.has("text") || row.file.ends_with(".rhai") {
        text.into_bytes()
    } else if row.has("raw") {
        wat::parse_str(text)?
    } else {
        component(directory, &text)?
    };
    if let Some(keep) = row.number("keep")? {
        bytes.truncate(keep);
    }
    if let Some(cut) = row.number("cut")? {
        bytes.truncate(bytes.len().saturating_sub(cut));
    }
    Ok(bytes)
}

/// The component of `parts/NAME.wat`.
pub fn part(directory: &Path, name: &str) -> Result<Vec<u8>> {
    component(
        directory,
        &expanded(directory, &read_part(directory, name)?)?,
    )
}

fn read_part(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join("parts").join(format!("{name}.wat"));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn expanded(directory: &Path, text: &str) -> Result<String> {
    let mut result = String::new();
    for line in text.lines() {
        let comment = line.trim_start();
        let command = comment
            .strip_prefix(";; ")
            .or_else(|| comment.strip_prefix("// "));
        if let Some(name) = command.and_then(|command| command.strip_prefix("include: ")) {
            result += &expanded(directory, &read_part(directory, name.trim())?)?;
        } else if let Some(rest) = command.and_then(|command| command.strip_prefix("repeat: ")) {
            let (count, repeated) = rest.split_once(' ').context("repeat: N TEXT")?;
            result += &repeated.repeat(count.parse()?);
        } else {
            result += line;
        }
        result.push('\n');
    }
    Ok(result)
}

fn component(directory: &Path, text: &str) -> Result<Vec<u8>> {
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with(";; component") {
        Ok(wat::parse_str(text)?)
    } else if let Some(name) = first.strip_prefix(";; beside: ") {
        let strategy = wasmprinter::print_bytes(part(directory, name.trim())?)?;
        let open = strategy.trim_end().strip_suffix(')').context("no end")?;
        Ok(wat::parse_str(format!("{open}\n{text}\n)"))?)
    } else {
        let world = first
            .strip_prefix(";; world: ")
            .context("the first line says neither world, component nor beside")?;
        of_module(directory, wat::parse_str(text)?, world.trim())
    }
}

/// Makes a core module a component of `world`, which stands in the contract or in
/// `parts/worlds.wit`.
fn of_module(directory: &Path, mut module: Vec<u8>, world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let contract = directory.join("../../wit/0.1.0");
    let (contract, _) = resolve.push_dir(contract)?;
    let own = resolve.push_file(directory.join("parts/worlds.wit"))?;
    let found = resolve
        .select_world(&[own], Some(world))
        .or_else(|_| resolve.select_world(&[contract], Some(world)))?;
    embed_component_metadata(&mut module, &resolve, found, StringEncoding::UTF8, false)?;
    // What is not valid is for the host to find out.
    ComponentEncoder::default()
        .validate(false)
        .module(&module)?
        .encode()
}
