// What every page of the tests begins with. report tells the test what happened;
// the test answers when the page is to go on.
const leat = new URLSearchParams(location.search).get('leat')

// report is for one after the other: requests of their own could overtake each other.
let reported = Promise.resolve()
function report(what, detail = {}) {
  const body = JSON.stringify({ what, ...detail })
  return reported = reported.then(() => fetch('/report', { method: 'POST', body }))
}

addEventListener('error', e => report('error', { text: String(e.message) }))
addEventListener('unhandledrejection', e => report('error', { text: String(e.reason) }))

// event resolves with the next event of that name, or of error if the element has one.
function event(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true })
    target.addEventListener('error', () => reject(new Error(`error instead of ${name}: ${target.error?.message}`)), { once: true })
  })
}
