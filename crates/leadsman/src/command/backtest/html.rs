//! The report as one page without scripts or anything to load. Its words come from closed sets of our own.

use super::report::Document;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1a2330}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;margin:.5rem 0}\
th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #d8dee6}th:first-child,td:first-child{text-align:left}\
.bar{display:inline-block;height:.6rem;background:#2b6cb0;vertical-align:middle;margin-right:.4rem}\
.low .bar{background:#c2410c}footer{margin-top:3rem;color:#5b6775;font-size:.85rem}";

/// Rows of one table: name, then a figure for each budget.
type Rows = Vec<(String, Vec<Option<f64>>)>;

/// The page.
///
/// Errors: when the document does not serialise.
pub(super) fn page(document: &Document<'_>) -> Result<String, serde_json::Error> {
    let d = serde_json::to_value(document)?;
    let mut body = String::new();
    let by_style = |v: &serde_json::Value, prefix: &str| -> Rows {
        let each = v.as_object().into_iter().flatten();
        each.map(|(style, of)| (format!("{prefix}{style}"), budgets(of))).collect()
    };
    table(&mut body, "Recall", &by_style(&d["recall"], ""), true);
    let quiet = vec![
        ("a day and cluster".to_owned(), budgets(&d["false_incidents_per_day"])),
        ("realised / target".to_owned(), budgets(&d["budget_ratio"])),
    ];
    table(&mut body, "False incidents", &quiet, false);
    table(&mut body, "Seconds to detect, median", &by_style(&d["time_to_detect_s"], ""), false);
    for (title, key, unit) in [
        ("Baselines", "baselines", ","),
        ("With one detector off, or one more on", "ablation", ":"),
        ("With a poisoned training log", "poisoning", " %"),
    ] {
        let mut rows = Rows::new();
        for (name, part) in d[key].as_object().into_iter().flatten() {
            let name = part["detectors"].as_str().unwrap_or(name);
            rows.extend(by_style(&part["recall"], &format!("{name}{unit} ")));
        }
        table(&mut body, title, &rows, true);
    }
    table(&mut body, "After one day", &by_style(&d["cold_start"]["recall"], ""), true);
    let mut rows = Rows::new();
    for (name, of) in d["hard_negatives"].as_object().into_iter().flatten() {
        rows.push((name.clone(), budgets(of)));
    }
    table(&mut body, "False incidents a day in a week with an upheaval", &rows, false);
    for (title, key) in [("By stolen identity", "identities"), ("By technique", "techniques")] {
        let mut rows = Rows::new();
        for (name, of) in d[key].as_object().into_iter().flatten() {
            rows.extend(by_style(of, &format!("{name}, ")));
        }
        table(&mut body, title, &rows, true);
    }
    let explained = d["explanation_hit_rate"].as_f64().unwrap_or_default();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Leadsman back-test</title><style>{STYLE}</style>\
         <h1>Back-test: how much is found of attacks never seen, at how many false incidents a day</h1>\
         <p>Suite {}, seeds {}, detectors {}. Columns are alert budgets in false incidents a day and cluster; alert lines \
         come from the training period alone. The decisive request is among the three weightiest reasons of {:.0} % of \
         what was found.</p>{body}<footer>leadsman {}</footer></html>\n",
        d["suite"].as_str().unwrap_or_default(),
        d["seeds"],
        d["detectors"].as_str().unwrap_or_default(),
        explained * 100.0,
        env!("CARGO_PKG_VERSION"),
    ))
}

fn budgets(of: &serde_json::Value) -> Vec<Option<f64>> {
    super::report::BUDGETS.iter().map(|b| of[b.to_string()].as_f64()).collect()
}

/// A table with one column a budget; shares get a bar, and those below one half another colour. Nothing without rows.
fn table(body: &mut String, title: &str, rows: &Rows, share: bool) {
    if rows.is_empty() {
        return;
    }
    let heads: String = super::report::BUDGETS.iter().map(|b| format!("<th scope=\"col\">{b}</th>")).collect();
    let cell = |figure: &Option<f64>| match figure {
        Some(v) if share => {
            let class = if *v < 0.5 { " class=\"low\"" } else { "" };
            format!("<td{class}><span class=\"bar\" style=\"width:{:.1}rem\"></span>{v:.2}</td>", v * 5.0)
        }
        Some(v) => format!("<td>{v:.2}</td>"),
        None => "<td>–</td>".to_owned(),
    };
    let row = |(name, figures): &(String, Vec<Option<f64>>)| {
        format!("<tr><td>{name}</td>{}</tr>", figures.iter().map(cell).collect::<String>())
    };
    let cells: String = rows.iter().map(row).collect();
    body.push_str(&format!("<h2>{title}</h2><table><tr><th></th>{heads}</tr>{cells}</table>"));
}
