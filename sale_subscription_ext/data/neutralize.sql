-- never charge: neither by a cron which somebody switches on again, nor by a button
UPDATE ir_cron
   SET active = false
 WHERE id IN (
       SELECT res_id
         FROM ir_model_data
        WHERE model = 'ir.cron'
          AND module = 'sale_subscription_ext'
);
-- forget what waits to be charged, and to be mailed
UPDATE account_move
   SET subscription_charge_state = NULL
 WHERE subscription_charge_state = 'waiting';
UPDATE sale_order
   SET charge_state = 'none'
 WHERE charge_state = 'waiting';
UPDATE account_move
   SET sending_data = NULL
 WHERE sending_data IS NOT NULL;
-- take real payment methods from the subscriptions; those of test providers move no money
UPDATE sale_order
   SET payment_token_id = NULL
  FROM payment_token
  JOIN payment_provider ON payment_provider.id = payment_token.provider_id
 WHERE payment_token.id = sale_order.payment_token_id
   AND payment_provider.state != 'test';
