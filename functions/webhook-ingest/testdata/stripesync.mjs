// Times @supabase/stripe-sync-engine for bench_stripesync_test.go: argv[2] is the
// folder it is installed in, STRIPE_SYNC_OPTIONS says what to do. Migrates, fills
// the table, writes a line when ready; then reads lines {"events": n}, applies n
// signed customer.updated events and answers {"latencies_ms": […], "elapsed_ms"}.
import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const require = createRequire(join(process.argv[2], 'package.json'))
const { StripeSync, runMigrations } = require('@supabase/stripe-sync-engine')

const options = JSON.parse(process.env.STRIPE_SYNC_OPTIONS)
const secret = 'whsec_benchmark'
const sync = new StripeSync({
  poolConfig: { connectionString: options.url, max: options.concurrency, min: options.concurrency },
  stripeSecretKey: 'sk_test_unused',
  stripeWebhookSecret: secret,
})
const warmed = 1_700_000_000 // seconds; every event is later than all before it
let sent = options.first

const customerId = (n) => `cus_${String(n).padStart(14, '0')}`

// A customer as Stripe's API reference shows it, with every field the engine stores.
const customer = (n, balance) => ({
  id: customerId(n),
  object: 'customer',
  address: { city: 'Lisbon', country: 'PT', line1: 'Rua do Porto 1', line2: null, postal_code: '1000-001', state: null },
  balance,
  created: warmed,
  currency: 'eur',
  default_source: null,
  delinquent: false,
  description: `Customer ${n}`,
  discount: null,
  email: `person${n}@example.com`,
  invoice_prefix: 'ABCDEF12',
  invoice_settings: { custom_fields: null, default_payment_method: null, footer: null, rendering_options: null },
  livemode: false,
  metadata: { plan: 'team', seats: '12' },
  name: `First${balance} Changed`,
  next_invoice_sequence: 1,
  phone: null,
  preferred_locales: ['en'],
  shipping: null,
  tax_exempt: 'none',
  test_clock: null,
})

function delivery() {
  sent += 1
  const body = JSON.stringify({
    id: `evt_${sent}`,
    object: 'event',
    api_version: '2020-08-27',
    created: warmed + sent,
    data: { object: customer(sent % options.customers, sent), previous_attributes: { name: 'First Last' } },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type: 'customer.updated',
  })
  const t = Math.floor(Date.now() / 1000)
  const signature = createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')
  return { body: Buffer.from(body), header: `t=${t},v1=${signature}` }
}

async function deliver(events) {
  const deliveries = Array.from({ length: events }, delivery)
  const latencies = new Array(events)
  let next = 0
  const worker = async () => {
    while (next < events) {
      const i = next++
      const begun = performance.now()
      await sync.processWebhook(deliveries[i].body, deliveries[i].header)
      latencies[i] = performance.now() - begun
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: options.concurrency }, worker))
  return { latencies_ms: latencies, elapsed_ms: performance.now() - begun }
}

// Rows are as they would be after these updates; nobody has to wait for the disk.
async function fill() {
  const filler = new StripeSync({
    poolConfig: { connectionString: options.migration_url, max: 5, options: '-c synchronous_commit=off' },
    stripeSecretKey: 'sk_test_unused',
    stripeWebhookSecret: secret,
  })
  const { rows } = await filler.postgresClient.query('select count(*)::int as n from stripe.customers', [])
  if (rows[0].n < options.customers) {
    const all = Array.from({ length: options.customers }, (_, n) => customer(n, 0))
    await filler.upsertCustomers(all, new Date(warmed * 1000).toISOString())
    await filler.postgresClient.query('vacuum analyze stripe.customers', [])
  }
  await filler.postgresClient.close()
}

await runMigrations({ databaseUrl: options.migration_url, schema: 'stripe' })
await fill()
console.log('{}')
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await deliver(JSON.parse(line).events)))
}
await sync.postgresClient.close()
