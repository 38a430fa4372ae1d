//! Gates as JUnit XML, which continuous integration shows as tests.

use super::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// What the gates said to one result.
#[derive(Clone, Debug)]
pub struct Suite {
    /// What the result is called.
    pub name: String,
    /// Its file.
    pub file: String,
    /// What each gate says: one test case each.
    pub verdicts: Vec<Verdict>,
    /// Why there is no result, where that is so.
    pub error: Option<String>,
}

/// Why there is no XML.
#[derive(Debug, thiserror::Error)]
#[error("writing JUnit XML: {0}")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// A suite for each result and a case for each gate. No times: the same figures give the same text.
pub fn junit(suites: &[Suite]) -> Result<String, JunitError> {
    let mut report = Report::new("secateur");
    report.add_test_suites(suites.iter().map(|suite| {
        let mut out = TestSuite::new(suite.name.as_str());
        out.add_test_cases(suite.verdicts.iter().map(|v| case(&suite.file, v)));
        out.add_test_cases(suite.error.iter().map(|why| broken(&suite.file, why)));
        out
    }));
    Ok(report.to_string()?)
}

fn case(file: &str, verdict: &Verdict) -> TestCase {
    let mut status = TestCaseStatus::success();
    if !verdict.met {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(verdict.says.as_str()).set_type("gate");
    }
    let mut case = TestCase::new(verdict.name, status);
    case.set_classname(file).set_system_out(verdict.says.as_str());
    case
}

fn broken(file: &str, why: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(why).set_type("error");
    let mut case = TestCase::new("result", status);
    case.set_classname(file);
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_count_their_failures() {
        let verdict = |met| Verdict { name: "max_drift", bound: 1.0, figure: None, met, says: "a < b".into() };
        let suite = Suite {
            name: "net".into(),
            file: "net.onnx".into(),
            verdicts: vec![verdict(true), verdict(false)],
            error: Some("no model".into()),
        };
        insta::assert_snapshot!(junit(&[suite]).unwrap(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="secateur" tests="3" skipped="0" failures="1" errors="1">
            <testsuite name="net" tests="3" skipped="0" errors="1" failures="1">
                <testcase name="max_drift" classname="net.onnx">
                    <system-out>a &lt; b</system-out>
                </testcase>
                <testcase name="max_drift" classname="net.onnx">
                    <failure message="a &lt; b" type="gate"/>
                    <system-out>a &lt; b</system-out>
                </testcase>
                <testcase name="result" classname="net.onnx">
                    <error message="no model" type="error"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }
}
