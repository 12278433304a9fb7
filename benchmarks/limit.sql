-- The project's tables from orders, customers and products, written by hand for one machine: no
-- checks, no ledger, no rejected rows, and no run of a single day. The project is measured against
-- this script; their tables are compared row by row.
-- Parameters in braces: folder, end (of the loaded days), horizon (days of a label window).

CREATE SCHEMA core;
CREATE SCHEMA marts;
CREATE SCHEMA churn;

-- Load: text is cast; rows whose values cannot be cast are left out.
CREATE TEMP TABLE lines AS
SELECT *, hash(order_id, line_number) AS line
FROM (
    SELECT
        trim(order_id) AS order_id, line_number, try_cast(ordered_at AS TIMESTAMP) AS ordered_at,
        nullif(trim(customer_id), '') AS customer_id, nullif(trim(product_id), '') AS product_id,
        CASE WHEN NOT contains(quantity, '.') THEN try_cast(quantity AS INTEGER) END AS quantity,
        try_cast(unit_price AS DECIMAL(18, 4)) AS unit_price, amount, lower(trim(status)) AS status,
        updated_at
    FROM read_csv(
        '{folder}/orders/*.csv', header = true, auto_detect = false,
        columns = {
            'order_id': 'VARCHAR', 'line_number': 'INTEGER', 'ordered_at': 'VARCHAR',
            'customer_id': 'VARCHAR', 'product_id': 'VARCHAR', 'quantity': 'VARCHAR',
            'unit_price': 'VARCHAR', 'amount': 'DECIMAL(18, 4)', 'status': 'VARCHAR',
            'updated_at': 'TIMESTAMP'
        }
    )
)
WHERE
    ordered_at < DATE '{end}' AND quantity IS NOT NULL AND unit_price IS NOT NULL;

CREATE TEMP TABLE changed AS
SELECT line FROM lines GROUP BY line
HAVING count(*) > 1 OR max(updated_at)::DATE > min(ordered_at)::DATE;

-- Few lines have more than one row, or come later than their day.
CREATE TEMP TABLE versions AS SELECT * FROM lines SEMI JOIN changed USING (line);

CREATE TEMP MACRO line_type(quantity, unit_price, status) AS
    CASE WHEN quantity < 0 THEN 'return'
        WHEN quantity > 0 AND unit_price > 0 AND coalesce(status, '') <> 'cancelled' THEN 'sale'
        ELSE 'adjustment' END;

-- The newest row of a line counts.
CREATE TABLE core.fact_orders AS
WITH newest AS (
    SELECT * FROM lines ANTI JOIN changed USING (line)
    UNION ALL BY NAME
    SELECT * FROM versions
    QUALIFY row_number() OVER (PARTITION BY order_id, line_number ORDER BY updated_at DESC) = 1
)
SELECT
    ordered_at::DATE AS order_date, order_id, line_number, ordered_at,
    coalesce(customer_id, '(unknown)') AS customer_id,
    coalesce(product_id, '(unknown)') AS product_id,
    quantity, unit_price, amount, (quantity * unit_price)::DECIMAL(18, 4) AS extended_amount,
    line_type(quantity, unit_price, status) AS line_type, status
FROM newest;

DROP TABLE lines;

CREATE TABLE core.customer_days AS
SELECT *, (gross_amount + returned_amount)::DECIMAL(18, 4) AS net_amount
FROM (
    -- First by order, so that orders are counted without DISTINCT.
    SELECT
        order_date, customer_id, count(*) AS orders,
        count(*) FILTER (sale_lines > 0) AS sale_orders,
        sum(lines)::BIGINT AS lines, sum(sale_lines)::BIGINT AS sale_lines,
        sum(return_lines)::BIGINT AS return_lines,
        (sum(lines) - sum(sale_lines) - sum(return_lines))::BIGINT AS adjustment_lines,
        sum(units)::BIGINT AS units, sum(gross)::DECIMAL(18, 4) AS gross_amount,
        sum(returned)::DECIMAL(18, 4) AS returned_amount
    FROM (
        SELECT
            order_date, customer_id, order_id, count(*) AS lines,
            count(*) FILTER (line_type = 'sale') AS sale_lines,
            count(*) FILTER (line_type = 'return') AS return_lines,
            coalesce(sum(quantity) FILTER (line_type = 'sale'), 0) AS units,
            coalesce(sum(extended_amount) FILTER (line_type = 'sale'), 0) AS gross,
            coalesce(sum(extended_amount) FILTER (line_type = 'return'), 0) AS returned
        FROM core.fact_orders GROUP BY ALL
    ) GROUP BY ALL
);

CREATE TABLE core.dim_customers AS
SELECT customer_id, 'source' AS member_type, registered_at, country, city
FROM (
    SELECT trim(customer_id) AS customer_id, registered_at, trim(country) AS country,
        trim(city) AS city
    FROM read_csv('{folder}/customers.csv', types = {'registered_at': 'TIMESTAMP'})
);
INSERT INTO core.dim_customers BY NAME
SELECT DISTINCT customer_id, if(customer_id = '(unknown)', 'unknown', 'inferred') AS member_type
FROM core.customer_days ANTI JOIN core.dim_customers USING (customer_id);

CREATE TABLE core.dim_products AS
SELECT
    trim(product_id) AS product_id, trim(product_name) AS product_name, trim(category) AS category,
    list_price::DECIMAL(18, 4) AS list_price, unit_cost::DECIMAL(18, 4) AS unit_cost,
    'source' AS member_type
FROM read_csv('{folder}/products.csv');
INSERT INTO core.dim_products BY NAME
SELECT product_id, 'inferred' AS member_type
FROM (SELECT DISTINCT product_id FROM core.fact_orders) ANTI JOIN core.dim_products
    USING (product_id)
UNION ALL BY NAME
SELECT '(unknown)' AS product_id, 'unknown' AS member_type;

-- Cohorts
CREATE TEMP TABLE firsts AS
SELECT customer_id, date_trunc('month', min(order_date))::DATE AS cohort_month
FROM core.customer_days
WHERE sale_orders > 0 AND customer_id <> '(unknown)'
GROUP BY customer_id;

CREATE TABLE marts.customer_cohort_analysis AS
WITH cohorts AS (
    SELECT cohort_month, count(*) AS customers_in_cohort FROM firsts GROUP BY ALL
),
months AS (
    SELECT unnest(range(
        (SELECT min(cohort_month) FROM cohorts), DATE '{end}', INTERVAL 1 MONTH
    ))::DATE AS month
),
activity AS (
    SELECT
        cohort_month, date_diff('month', cohort_month, month) AS month_number,
        count(*) FILTER (sale_orders > 0) AS customers_active, sum(net_amount) AS revenue
    FROM (
        SELECT customer_id, date_trunc('month', order_date)::DATE AS month,
            sum(sale_orders) AS sale_orders, sum(net_amount) AS net_amount
        FROM core.customer_days GROUP BY ALL
    ) JOIN firsts USING (customer_id)
    GROUP BY ALL
),
cells AS (
    SELECT
        cohort_month, customers_in_cohort, date_diff('month', min(month) OVER (), month)::INT
            AS month_number,
        cohort_month + to_months(month_number) < DATE '{end}' AS is_observed,
        cohort_month + to_months(month_number + 1) <= DATE '{end}' AS is_complete
    FROM cohorts CROSS JOIN months
),
rated AS (
    SELECT
        cells.*, CASE WHEN is_observed THEN coalesce(customers_active, 0) END AS customers_active,
        CASE WHEN is_observed THEN coalesce(revenue, 0) END AS cohort_revenue,
        CASE WHEN is_observed THEN coalesce(customers_active, 0) END::DOUBLE / customers_in_cohort
            AS retention_rate
    FROM cells LEFT JOIN activity USING (cohort_month, month_number)
)
SELECT
    cohort_month, month_number, customers_active, customers_in_cohort, retention_rate,
    retention_rate - lag(retention_rate) OVER (PARTITION BY cohort_month ORDER BY month_number)
        AS retention_change,
    cohort_revenue::DECIMAL(18, 4) AS cohort_revenue,
    (cohort_revenue / nullif(customers_active, 0))::DECIMAL(18, 4) AS revenue_per_active_customer,
    CASE WHEN month_number = 0 OR NOT is_complete THEN NULL WHEN retention_rate >= 0.30 THEN 'Strong'
        WHEN retention_rate >= 0.15 THEN 'Fair' ELSE 'Weak' END AS cohort_quality,
    is_complete
FROM rated;

-- Sales
CREATE TABLE marts.customer_sales AS
WITH billed AS (
    SELECT
        customer_id, date_trunc('month', order_date)::DATE AS month,
        sum(coalesce(amount, extended_amount)) AS billed_amount,
        count(*) FILTER (amount IS NULL) AS amounts_imputed
    FROM core.fact_orders WHERE line_type <> 'adjustment' GROUP BY ALL
),
sales AS (
    SELECT
        customer_id, date_trunc('month', order_date)::DATE AS month,
        sum(orders)::BIGINT AS orders, sum(lines)::BIGINT AS lines, sum(units)::BIGINT AS units,
        sum(gross_amount)::DECIMAL(18, 4) AS gross_amount,
        sum(net_amount)::DECIMAL(18, 4) AS net_amount
    FROM core.customer_days GROUP BY ALL
)
SELECT sales.*, coalesce(billed_amount, 0)::DECIMAL(18, 4) AS billed_amount,
    coalesce(amounts_imputed, 0) AS amounts_imputed
FROM sales LEFT JOIN billed USING (customer_id, month);

CREATE TABLE marts.sales_daily AS
WITH orders AS (
    SELECT
        order_date, order_id,
        sum(extended_amount) FILTER (line_type = 'sale') AS order_amount
    FROM core.fact_orders GROUP BY ALL
)
SELECT
    order_date, coalesce(category, '(unknown)') AS category,
    CASE WHEN order_amount IS NULL THEN 'none' WHEN order_amount < 100 THEN 'low'
        WHEN order_amount < 1000 THEN 'medium' ELSE 'high' END AS revenue_band,
    count(DISTINCT order_id) AS orders, count(*) AS lines,
    coalesce(sum(quantity) FILTER (line_type = 'sale'), 0)::BIGINT AS units,
    count(DISTINCT nullif(customer_id, '(unknown)')) AS customers,
    coalesce(sum(extended_amount) FILTER (line_type = 'sale'), 0)::DECIMAL(18, 4) AS gross_amount,
    coalesce(sum(extended_amount) FILTER (line_type <> 'adjustment'), 0)::DECIMAL(18, 4)
        AS net_amount
FROM core.fact_orders
JOIN orders USING (order_date, order_id)
LEFT JOIN core.dim_products USING (product_id)
GROUP BY ALL;

-- Features of customers at the end of each month, for training, and of the last day, for scoring.
CREATE TEMP TABLE dates AS
SELECT as_of, row_number() OVER (ORDER BY as_of) AS i
FROM (
    SELECT unnest(range(
        date_trunc('month', min(order_date)) + INTERVAL 1 MONTH, TIMESTAMP '{end}', INTERVAL 1 MONTH
    ))::DATE AS as_of FROM core.customer_days
    UNION ALL
    SELECT DATE '{end}'
);

-- Totals of the whole past: they change at the first date after a day, and add up over a
-- customer's states.
CREATE TEMP TABLE states AS
WITH steps AS (
    SELECT
        customer_id, i,
        min(order_date) FILTER (sale_orders > 0) AS first_sale,
        max(order_date) FILTER (sale_orders > 0) AS last_sale,
        count(*) FILTER (sale_orders > 0) AS active_days,
        sum(sale_orders) AS sale_orders, sum(sale_lines) AS sale_lines, sum(units) AS units,
        sum(gross_amount) AS gross_amount, sum(net_amount) AS net_amount,
        sum(return_lines) AS return_lines, sum(returned_amount) AS returned_amount,
        sum(gap * gap) AS squared_gaps,
        sum(net_amount) FILTER (sale_orders > 0 AND gap IS NULL) AS first_net_amount
    FROM (
        SELECT *, CASE WHEN sale_orders > 0 THEN order_date - lag(order_date) OVER (
            PARTITION BY customer_id, sale_orders > 0 ORDER BY order_date
        ) END AS gap
        FROM core.customer_days
    ) JOIN (
        SELECT order_date, min(i) AS i
        FROM (SELECT DISTINCT order_date FROM core.customer_days) JOIN dates ON as_of > order_date
        GROUP BY order_date
    ) USING (order_date)
    WHERE customer_id <> '(unknown)'
    GROUP BY ALL
)
SELECT
    customer_id, i, lead(i) OVER so_far AS next_i,
    min(first_sale) OVER so_far AS first_sale, max(last_sale) OVER so_far AS last_sale,
    min(first_sale) OVER later AS next_sale,
    sum(active_days) OVER so_far AS active_days, sum(sale_orders) OVER so_far AS sale_orders,
    sum(sale_lines) OVER so_far AS sale_lines, sum(units) OVER so_far AS units,
    sum(gross_amount) OVER so_far AS gross_amount, sum(net_amount) OVER so_far AS net_amount,
    sum(return_lines) OVER so_far AS return_lines,
    sum(returned_amount) OVER so_far AS returned_amount,
    sum(squared_gaps) OVER so_far AS squared_gaps,
    sum(first_net_amount) OVER so_far AS first_net_amount
FROM steps
WINDOW
    so_far AS (PARTITION BY customer_id ORDER BY i ROWS UNBOUNDED PRECEDING),
    later AS (
        PARTITION BY customer_id ORDER BY i ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    );

-- Totals of the last days before a date: a day counts for the dates of the 180 days after it.
CREATE TEMP TABLE recent AS
SELECT
    customer_id, i,
    sum(sale_orders) FILTER (age <= 30) AS orders_30d,
    sum(sale_orders) FILTER (age <= 60) AS orders_60d,
    sum(sale_orders) FILTER (age <= 90) AS orders_90d, sum(sale_orders) AS orders_180d,
    sum(net_amount) FILTER (age <= 30) AS net_amount_30d,
    sum(net_amount) FILTER (age <= 60) AS net_amount_60d,
    sum(net_amount) FILTER (age <= 90) AS net_amount_90d, sum(net_amount) AS net_amount_180d
FROM core.customer_days JOIN (
    SELECT order_date, i, as_of - order_date AS age
    FROM (SELECT DISTINCT order_date FROM core.customer_days)
    JOIN dates ON as_of > order_date AND as_of - order_date <= 180
) USING (order_date)
WHERE customer_id <> '(unknown)'
GROUP BY ALL;

CREATE TEMP TABLE breadth AS
SELECT customer_id, i, count(DISTINCT nullif(product_id, '(unknown)')) AS products_180d
FROM core.fact_orders JOIN dates ON as_of > order_date AND as_of - order_date <= 180
WHERE line_type = 'sale' AND customer_id <> '(unknown)'
GROUP BY ALL;

-- Customers whose lines were different as known at a date, as a row came later; and these lines.
CREATE TEMP TABLE corrected AS
SELECT DISTINCT customer_id, i, as_of
FROM versions JOIN dates ON ordered_at < as_of AND updated_at >= as_of
WHERE customer_id IS NOT NULL;

CREATE TEMP TABLE as_known AS
WITH known AS (
    SELECT customer_id, i, as_of, order_date, order_id, product_id, quantity, extended_amount,
        line_type
    FROM corrected JOIN core.fact_orders USING (customer_id)
    ANTI JOIN versions USING (order_id, line_number)
    WHERE order_date < as_of
    UNION ALL
    SELECT customer_id, i, as_of, ordered_at::DATE, order_id, product_id, quantity,
        (quantity * unit_price)::DECIMAL(18, 4), line_type(quantity, unit_price, status)
    FROM corrected JOIN versions USING (customer_id)
    WHERE ordered_at < as_of AND updated_at < as_of
    QUALIFY row_number() OVER (PARTITION BY i, order_id, line_number ORDER BY updated_at DESC) = 1
),
days AS (
    SELECT
        customer_id, i, order_date, as_of - order_date AS age,
        count(DISTINCT order_id) FILTER (line_type = 'sale') AS sale_orders,
        count(*) FILTER (line_type = 'sale') AS sale_lines,
        count(*) FILTER (line_type = 'return') AS return_lines,
        coalesce(sum(quantity) FILTER (line_type = 'sale'), 0) AS units,
        coalesce(sum(extended_amount) FILTER (line_type = 'sale'), 0) AS gross_amount,
        coalesce(sum(extended_amount) FILTER (line_type = 'return'), 0) AS returned_amount
    FROM known GROUP BY ALL
),
gaps AS (
    SELECT *, gross_amount + returned_amount AS net_amount, order_date - lag(order_date) OVER (
        PARTITION BY customer_id, i, sale_orders > 0 ORDER BY order_date
    ) AS gap
    FROM days
),
products AS (
    SELECT customer_id, i, count(DISTINCT nullif(product_id, '(unknown)')) AS products_180d
    FROM known WHERE line_type = 'sale' AND as_of - order_date <= 180 GROUP BY ALL
)
SELECT
    customer_id, i,
    min(order_date) FILTER (sale_orders > 0) AS first_sale,
    max(order_date) FILTER (sale_orders > 0) AS last_sale,
    count(*) FILTER (sale_orders > 0) AS active_days,
    sum(sale_orders) AS sale_orders, sum(sale_lines) AS sale_lines, sum(units) AS units,
    sum(gross_amount) AS gross_amount, sum(net_amount) AS net_amount,
    sum(return_lines) AS return_lines, sum(returned_amount) AS returned_amount,
    sum(gap * gap) FILTER (sale_orders > 0) AS squared_gaps,
    sum(net_amount) FILTER (sale_orders > 0 AND gap IS NULL) AS first_net_amount,
    sum(sale_orders) FILTER (age <= 30) AS orders_30d,
    sum(sale_orders) FILTER (age <= 60) AS orders_60d,
    sum(sale_orders) FILTER (age <= 90) AS orders_90d,
    sum(sale_orders) FILTER (age <= 180) AS orders_180d,
    sum(net_amount) FILTER (age <= 30) AS net_amount_30d,
    sum(net_amount) FILTER (age <= 60) AS net_amount_60d,
    sum(net_amount) FILTER (age <= 90) AS net_amount_90d,
    sum(net_amount) FILTER (age <= 180) AS net_amount_180d,
    any_value(products_180d) AS products_180d
FROM gaps LEFT JOIN products USING (customer_id, i)
GROUP BY customer_id, i;

-- A state is valid until the next.
CREATE TEMP VIEW features AS
WITH holding AS (
    SELECT * EXCLUDE (i, next_i),
        unnest(range(i, coalesce(next_i, (SELECT max(i) + 1 FROM dates)))) AS i
    FROM states
),
totals AS (
    FROM holding ANTI JOIN corrected USING (customer_id, i)
    LEFT JOIN recent USING (customer_id, i) LEFT JOIN breadth USING (customer_id, i)
    UNION ALL BY NAME
    SELECT as_known.*, next_sale FROM as_known JOIN holding USING (customer_id, i)
)
SELECT
    *, (as_of - last_sale)::INT AS days_since_last_order, (as_of - first_sale)::INT AS tenure_days,
    (last_sale - first_sale)::DOUBLE AS gaps, active_days - 1 AS gap_count,
    gaps / nullif(gap_count, 0) AS mean_gap_days,
    CASE WHEN gap_count > 1 THEN sqrt(
        greatest(squared_gaps * gap_count - gaps * gaps, 0) / (gap_count * (gap_count - 1))
    ) END AS sd_gap_days
FROM totals JOIN dates USING (i);

CREATE TEMP TABLE last_features AS SELECT * FROM features WHERE as_of = DATE '{end}';

CREATE TABLE churn.churn_features AS
SELECT
    (as_of - INTERVAL 1 MONTH)::DATE AS month, as_of, customer_id, days_since_last_order,
    sale_orders::BIGINT AS sale_orders, sale_lines::BIGINT AS sale_lines, units::BIGINT AS units,
    gross_amount::DECIMAL(18, 4) AS gross_amount, net_amount::DECIMAL(18, 4) AS net_amount,
    (gross_amount / sale_orders)::DECIMAL(18, 4) AS average_order_value,
    return_lines::BIGINT AS return_lines, returned_amount::DECIMAL(18, 4) AS returned_amount,
    return_lines::DOUBLE / (sale_lines + return_lines) AS return_share,
    tenure_days, (as_of - registered_at::DATE)::INT AS days_since_registration, mean_gap_days,
    sd_gap_days, active_days::BIGINT AS active_days,
    greatest(net_amount - first_net_amount, 0)::DECIMAL(18, 4) AS repeat_net_amount,
    coalesce(orders_30d, 0)::BIGINT AS orders_30d,
    coalesce(orders_60d, 0)::BIGINT AS orders_60d,
    coalesce(orders_90d, 0)::BIGINT AS orders_90d,
    coalesce(orders_180d, 0)::BIGINT AS orders_180d,
    coalesce(net_amount_30d, 0)::DECIMAL(18, 4) AS net_amount_30d,
    coalesce(net_amount_60d, 0)::DECIMAL(18, 4) AS net_amount_60d,
    coalesce(net_amount_90d, 0)::DECIMAL(18, 4) AS net_amount_90d,
    coalesce(net_amount_180d, 0)::DECIMAL(18, 4) AS net_amount_180d,
    coalesce(products_180d, 0)::BIGINT AS products_180d, 0::BIGINT AS categories_180d,
    0::BIGINT AS sessions_total, 0::BIGINT AS sessions_7d, 0::BIGINT AS sessions_30d,
    0::BIGINT AS sessions_90d, NULL::INT AS days_since_last_session, 0::DOUBLE AS session_frequency,
    0::BIGINT AS tickets_total, 0::BIGINT AS tickets_30d, 0::BIGINT AS tickets_90d,
    0::BIGINT AS open_tickets, NULL::INT AS days_since_last_ticket,
    NULL::DOUBLE AS mean_hours_to_resolve,
    least(1.0, days_since_last_order::DOUBLE / CASE
        WHEN mean_gap_days IS NULL THEN {horizon} ELSE greatest(3 * mean_gap_days, 30)
    END) AS churn_risk_score,
    as_of + {horizon} <= DATE '{end}' AS label_window_closed,
    CASE WHEN label_window_closed
        THEN next_sale IS NULL OR next_sale >= as_of + {horizon} END AS churned
FROM features LEFT JOIN core.dim_customers USING (customer_id)
WHERE sale_orders > 0 AND extract('day' FROM as_of) = 1;

CREATE TABLE marts.customer_analytics_daily AS
WITH known AS (
    SELECT
        *, (DATE '{end}' - registered_at::DATE)::INT AS days_since_registration
    FROM core.dim_customers LEFT JOIN last_features USING (customer_id)
    WHERE (registered_at < DATE '{end}' OR as_of IS NOT NULL) AND customer_id <> '(unknown)'
),
filled AS (
    SELECT
        DATE '{end}' - 1 AS snapshot_date, DATE '{end}' AS as_of, customer_id,
        days_since_last_order, coalesce(sale_orders, 0)::BIGINT AS sale_orders,
        coalesce(sale_lines, 0)::BIGINT AS sale_lines, coalesce(units, 0)::BIGINT AS units,
        coalesce(gross_amount, 0)::DECIMAL(18, 4) AS gross_amount,
        coalesce(net_amount, 0)::DECIMAL(18, 4) AS net_amount,
        (gross_amount / nullif(sale_orders, 0))::DECIMAL(18, 4) AS average_order_value,
        coalesce(return_lines, 0)::BIGINT AS return_lines,
        coalesce(returned_amount, 0)::DECIMAL(18, 4) AS returned_amount,
        return_lines::DOUBLE / nullif(sale_lines + return_lines, 0) AS return_share,
        tenure_days, days_since_registration, mean_gap_days,
        sd_gap_days, coalesce(active_days, 0)::BIGINT AS active_days,
        coalesce(greatest(net_amount - first_net_amount, 0), 0)::DECIMAL(18, 4)
            AS repeat_net_amount,
        coalesce(orders_30d, 0)::BIGINT AS orders_30d,
        coalesce(orders_60d, 0)::BIGINT AS orders_60d,
        coalesce(orders_90d, 0)::BIGINT AS orders_90d,
        coalesce(orders_180d, 0)::BIGINT AS orders_180d,
        coalesce(net_amount_30d, 0)::DECIMAL(18, 4) AS net_amount_30d,
        coalesce(net_amount_60d, 0)::DECIMAL(18, 4) AS net_amount_60d,
        coalesce(net_amount_90d, 0)::DECIMAL(18, 4) AS net_amount_90d,
        coalesce(net_amount_180d, 0)::DECIMAL(18, 4) AS net_amount_180d,
        coalesce(products_180d, 0)::BIGINT AS products_180d, 0::BIGINT AS categories_180d,
        0::BIGINT AS sessions_total, 0::BIGINT AS sessions_7d, 0::BIGINT AS sessions_30d,
        0::BIGINT AS sessions_90d, NULL::INT AS days_since_last_session, 0::DOUBLE AS session_frequency,
        0::BIGINT AS tickets_total, 0::BIGINT AS tickets_30d, 0::BIGINT AS tickets_90d,
        0::BIGINT AS open_tickets, NULL::INT AS days_since_last_ticket,
        NULL::DOUBLE AS mean_hours_to_resolve,
        first_sale AS first_order_date, last_sale AS last_order_date
    FROM known
),
scored AS (
    SELECT
        *, coalesce(sale_orders::DOUBLE * 30 / greatest(tenure_days, 30), 0) AS order_frequency,
        CASE WHEN net_amount > 0 THEN (net_amount_90d::DOUBLE / least(tenure_days, 90))
            / (net_amount::DOUBLE / tenure_days) END AS spending_velocity,
        -- Fifths of the average rank among those who have bought: ties share a score.
        CASE WHEN sale_orders > 0 THEN ceil(5.0 * (2 * rank() OVER (
            PARTITION BY sale_orders > 0 ORDER BY days_since_last_order DESC
        ) + count(*) OVER (PARTITION BY sale_orders > 0, days_since_last_order) - 1)
            / (2 * count(*) OVER (PARTITION BY sale_orders > 0)))::INT END AS r_score,
        CASE WHEN sale_orders > 0 THEN ceil(5.0 * (2 * rank() OVER (
            PARTITION BY sale_orders > 0 ORDER BY sale_orders
        ) + count(*) OVER (PARTITION BY sale_orders > 0, sale_orders) - 1)
            / (2 * count(*) OVER (PARTITION BY sale_orders > 0)))::INT END AS f_score,
        CASE WHEN sale_orders > 0 THEN ceil(5.0 * (2 * rank() OVER (
            PARTITION BY sale_orders > 0 ORDER BY net_amount
        ) + count(*) OVER (PARTITION BY sale_orders > 0, net_amount) - 1)
            / (2 * count(*) OVER (PARTITION BY sale_orders > 0)))::INT END AS m_score,
        CASE WHEN sale_orders > 0 THEN least(1.0, days_since_last_order::DOUBLE / CASE
            WHEN mean_gap_days IS NULL THEN {horizon} ELSE greatest(3 * mean_gap_days, 30)
        END) END AS churn_risk_score
    FROM filled
)
SELECT
    *, (r_score * 100 + f_score * 10 + m_score)::VARCHAR AS rfm,
    CASE WHEN sale_orders = 0 THEN 'Prospect'
        WHEN r_score >= 4 AND f_score >= 4 AND m_score >= 4 THEN 'Champion'
        WHEN r_score >= 3 AND f_score >= 3 THEN 'Loyal' WHEN r_score >= 3 THEN 'Potential'
        WHEN f_score >= 3 OR m_score >= 3 THEN 'At Risk' ELSE 'Lost' END AS segment,
    CASE WHEN sale_orders = 0 THEN 'Prospect' WHEN m_score >= 5 THEN 'High Value'
        WHEN tenure_days <= 30 THEN 'New' WHEN days_since_last_order > 90 THEN 'At Risk'
        ELSE 'Regular' END AS value_segment,
    coalesce(average_order_value * order_frequency * 12, 0)::DECIMAL(18, 4)
        AS lifetime_value_simple,
    CASE WHEN churn_risk_score >= 0.7 THEN 'High' WHEN churn_risk_score >= 0.4 THEN 'Medium'
        WHEN churn_risk_score IS NOT NULL THEN 'Low' END AS churn_risk_category
FROM scored;
