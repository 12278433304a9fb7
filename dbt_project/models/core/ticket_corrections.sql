{{ windowed('ticket_date', 'daily') }}

with changed_later as (
    select distinct
        ticket_date,
        {{ clean_text('ticket_id') }} as clean_ticket_id
    from {{ source('raw', 'raw_support_tickets') }}
    where {{ in_window('ticket_date') }} and {{ shops_day('updated_at') }} > ticket_date
),

-- What is null has a value that no ticket has, so that versions can be compared.
versions as (
    select
        tickets.ticket_date,
        changed_later.clean_ticket_id as ticket_id,
        coalesce({{ clean_text('tickets.customer_id') }}, {{ unknown_member() }}) as customer_id,
        coalesce(
            {{ resolved_date('tickets.ticket_date', 'tickets.resolved_at') }}, {{ never() }}
        ) as resolved_date,
        coalesce({{ seconds_from('tickets.opened_at', 'tickets.resolved_at') }}, -1)
            as resolution_seconds,
        tickets.updated_at,
        tickets.source_file,
        tickets.source_row
    from {{ source('raw', 'raw_support_tickets') }} as tickets
    inner join changed_later
        on
            tickets.ticket_date = changed_later.ticket_date
            and {{ clean_text('tickets.ticket_id') }} = changed_later.clean_ticket_id
    where {{ in_window('tickets.ticket_date') }}
),

{#- A resolution counts for the dates after its day: before them, open and resolved are the same. #}
{%- set first_date = 'least(resolved_date, final_resolved_date)' %}
corrections as (
    {{ corrections(
        'versions', ['ticket_date', 'ticket_id'], 'ticket_id', 'ticket_date',
        ['customer_id', 'resolved_date', 'resolution_seconds'], 'support_tickets',
        differs='customer_id <> final_customer_id or ('
        ~ '(resolved_date <> final_resolved_date or resolution_seconds <> final_resolution_seconds) '
        ~ 'and ' ~ add_days(first_date, 1) ~ ' < known_to)'
    ) }}
)

select
    ticket_date,
    ticket_id,
    known_from,
    known_to,
    weight,
    customer_id,
    resolved_date,
    resolution_seconds
from corrections
