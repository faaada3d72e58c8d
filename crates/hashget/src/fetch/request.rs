//! One question to a server: who is asked, and where an answer may redirect to.
//!
//! Invariant: every request to any host passes its circuit breaker and its politeness, and every redirect is checked before
//! it is followed. Credentials go to the host that the configuration names, and to no other.

use std::collections::BTreeSet;

use super::circuit_breaker::{Attempt, Failed};
use super::download::Download;
use super::error::not_asked;
use super::fetch_url::{FetchUrl, refused};
use super::http::{Exchange, Head, Trouble};
use super::method::{Method, Request};
use super::{FetchError, Reach};

/// Redirects followed for one download.
const REDIRECTS: usize = 10;

/// Request headers.
type Headers = Vec<(&'static str, String)>;

impl Download<'_> {
    /// Asks for what is at the URL and follows redirects, after checking each.
    pub(super) fn answered(&self, headers: Headers) -> Result<Exchange, FetchError> {
        self.answered_to(Method::Get.into(), headers)
    }

    /// The same for another request. What a redirect leads to is read, unless it says that the request itself is to be
    /// repeated there.
    pub(super) fn answered_to(
        &self,
        mut request: Request,
        mut headers: Headers,
    ) -> Result<Exchange, FetchError> {
        headers.push(("accept-encoding", "identity".to_owned()));
        let mut target = self.target.clone();
        let (mut visited, mut redirects) = (BTreeSet::new(), Vec::new());
        loop {
            let public_only = self.is_public_only(&target, visited.is_empty());
            if public_only && target.is_private_by_name() {
                let problem = if visited.is_empty() {
                    "it is in a private network, and only a file of the tree names it"
                } else {
                    "a public server redirects to a private network"
                };
                return Err(refused(target.as_str(), problem));
            }
            let mut exchange =
                self.asked((request.clone(), &target), headers.clone(), public_only)?;
            let Some(location) = redirect(&exchange.head).map(str::to_owned) else {
                exchange.redirects = redirects;
                return Ok(exchange);
            };
            visited.insert(target.as_str().to_owned());
            let next = target.join(&location)?;
            self.check_redirect(&target, &next, &visited)?;
            if !matches!(exchange.head.status, 307 | 308) {
                request = Method::Get.into();
            }
            if next.host() != target.host() {
                headers.retain(|(name, _)| *name != "authorization");
            }
            redirects.push(exchange.into_head());
            target = next;
        }
    }

    /// Sends one request and waits for the head of its answer.
    fn asked(
        &self,
        (request, target): (Request, &FetchUrl),
        mut headers: Headers,
        public_only: bool,
    ) -> Result<Exchange, FetchError> {
        let (host, url, breaker) = (target.host(), target.as_str(), &self.options.breaker);
        // Nobody waits for the right to ask a host that is given up, and it may be given up meanwhile.
        breaker.check(&host, url)?;
        let permit = self.options.politeness.enter(&host, self.monitor)?;
        let attempt = breaker.attempt(&host, url, self.monitor)?;
        let reach = self.wanted.reach;
        if reach == Reach::Configured && host == self.target.host() {
            let authorization = self.options.credentials.authorization(target);
            headers.extend(authorization.map(|value| ("authorization", value.to_owned())));
        }
        let (asked, to) = ((request, target), (reach, public_only));
        match self.client.send(asked, headers, to, permit, self.monitor) {
            Ok(exchange) => {
                let failed = match exchange.head.status {
                    429 | 502..=504 => Some(Failed::Busy),
                    500 => Some(Failed::Error),
                    _ => None,
                };
                Ok(exchange.counted(attempt, failed))
            }
            Err(Trouble::Interrupted) => Err(crate::monitor::Interrupted.into()),
            Err(Trouble::Refused(problem)) => Err(refused(url, &problem)),
            Err(Trouble::Lasting(problem)) => {
                Err(self.unanswered(&attempt, Failed::Lasting, problem))
            }
            Err(Trouble::Silent(problem)) => {
                Err(self.unanswered(&attempt, Failed::Silence, problem))
            }
            Err(Trouble::Passing(problem)) => {
                Err(self.unanswered(&attempt, Failed::NoAnswer, problem))
            }
        }
    }

    /// The error of a request without an answer. If it was the one that should show whether a host is back, it says nothing
    /// about the URL.
    fn unanswered(&self, attempt: &Attempt, failed: Failed, problem: String) -> FetchError {
        let was_trial = attempt.is_trial();
        let url = self.target.as_str().to_owned();
        match (attempt.failed(failed, &problem), failed) {
            (Some(given_up), _) if was_trial => not_asked(&url, *given_up, problem),
            (given_up, Failed::Lasting) => {
                FetchError::Unreachable { url, problem, answered: false, given_up }
            }
            (given_up, _) => {
                let (retry_after, kept, answered) = (None, self.part.kept(), false);
                FetchError::Transient { url, problem, retry_after, kept, answered, given_up }
            }
        }
    }

    /// May a request to `target` only go to public addresses? A redirect of a public server may not lead elsewhere.
    fn is_public_only(&self, target: &FetchUrl, is_first: bool) -> bool {
        let by_name = self.wanted.reach == Reach::PublicOnly;
        (by_name || (!is_first && !self.target.is_private()))
            && !target.is_of(&self.options.public_hosts)
    }

    fn check_redirect(
        &self,
        from: &FetchUrl,
        to: &FetchUrl,
        visited: &BTreeSet<String>,
    ) -> Result<(), FetchError> {
        if visited.contains(to.as_str()) || visited.len() > REDIRECTS {
            let problem = if visited.contains(to.as_str()) {
                "it redirects in a circle".to_owned()
            } else {
                format!("it redirects more than {REDIRECTS} times")
            };
            return Err(self.unreachable(problem));
        }
        if from.is_secure() && !to.is_secure() && self.wanted.sha256.is_none() {
            let problem =
                format!("it redirects from https to {}, and no digest is known", to.as_str());
            return Err(refused(self.target.as_str(), &problem));
        }
        Ok(())
    }
}

/// Where an answer redirects to.
fn redirect(head: &Head) -> Option<&str> {
    matches!(head.status, 301 | 302 | 303 | 307 | 308).then(|| head.header("location")).flatten()
}
