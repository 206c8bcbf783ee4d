// The console watches topics through a plain EventSource, which reconnects and
// resumes by itself, and shows what it is told.

const most = 500 // rows
const $ = id => document.getElementById(id)
const watchForm = $('watch'), publishForm = $('publish'), rows = $('events')
let source

function query() {
  const q = new URLSearchParams()
  for (const topic of watchForm.topics.value.split(/\s+/).filter(Boolean)) q.append('topic', topic)
  q.append('from', watchForm.from.value)
  return q
}

function watch() {
  source?.close()
  rows.replaceChildren()
  $('empty').hidden = false
  const q = query()
  $('curl').textContent = `curl -N '${location.origin}/events?${q}'`
  q.append('envelope', '1')
  q.append('heartbeat', '15s,event')
  source = new EventSource(`/events?${q}`)
  source.onopen = () => setState('open', 'watching')
  source.onerror = () => source.readyState === EventSource.CLOSED
    ? explain(q)
    : setState('waiting', 'the connection is lost, it will go on where it stopped')
  source.onmessage = e => show(JSON.parse(e.data))
  source.addEventListener('leat.gap', e => showGap(JSON.parse(e.data)))
}

// An EventSource does not tell why it was refused: ask once more.
async function explain(q) {
  setState('closed', 'refused')
  const stop = new AbortController()
  try {
    const response = await fetch(`/events?${q}`, { headers: { Accept: 'text/event-stream' }, signal: stop.signal })
    if (!response.ok) setState('closed', describe(await response.json()))
  } catch {
    setState('closed', 'the server cannot be reached')
  }
  stop.abort()
}

const describe = problem => [problem.detail, problem.advice].filter(Boolean).join('. ')

function setState(name, text) {
  $('state').className = name
  $('state').textContent = text
}

function show(e) {
  const time = new Date(e.time).toLocaleTimeString()
  addRow('', e.id, [time, e.topic, e.type ?? '', typeof e.data === 'string' ? e.data : JSON.stringify(e.data)])
}

function showGap(gap) {
  const topics = (gap.topics ?? []).map(t => t.topic)
  if (gap.more) topics.push(`and ${gap.more} more`)
  addRow('gap', gap.next, ['gap', topics.join(', '), gap.reason, `records after ${gap.asked} are gone`])
}

function addRow(className, title, cells) {
  $('empty').hidden = true
  const row = document.createElement('tr')
  row.className = className
  row.title = title
  for (const text of cells) row.insertCell().textContent = text
  rows.prepend(row)
  if (rows.rows.length > most) rows.lastElementChild.remove()
}

watchForm.addEventListener('submit', e => {
  e.preventDefault()
  watch()
})

publishForm.addEventListener('submit', async e => {
  e.preventDefault()
  const q = new URLSearchParams({ topic: publishForm.topic.value })
  try {
    const response = await fetch(`/events?${q}`, {
      method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: publishForm.data.value,
    })
    const answer = await response.json()
    $('answer').textContent = response.ok ? `stored as ${answer.id}` : describe(answer)
  } catch {
    $('answer').textContent = 'the server cannot be reached'
  }
})

watch()
